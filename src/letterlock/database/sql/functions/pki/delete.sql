-- pki.delete: forget a certificate, its addresses, and that it was an anchor. Its private key stays in the keyholder's care.
-- Who: ll_admin, with a token that may pki.change.
-- Promises: 'done', 'not-found' or 'denied'; or, unless p_force with a p_reason, what it is still in use for: 'anchor', 'tied',
--   'only-key' (the last certificate by which its private key is found: mail to it could be read no more), 'in-setting' (the
--   last one of an address that smime_additional_certificates names). Audited with the reason; the revision grows.
-- Locks: the certificate's rows, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.delete(p_token bytea, p_id uuid, p_force boolean, p_reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    c record;
    v_use text;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'pki.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT x.id, x.fingerprint, x.key_id INTO c FROM pki.certificate x WHERE x.id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    v_use := CASE
        WHEN EXISTS (SELECT 1 FROM pki.anchor t WHERE t.certificate = p_id) THEN 'anchor'
        WHEN c.key_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM pki.certificate o WHERE o.key_id = c.key_id AND o.id <> p_id) THEN 'only-key'
        WHEN EXISTS (SELECT 1 FROM pki.address t WHERE t.certificate = p_id AND t.tied_by IS NOT NULL) THEN 'tied'
        WHEN EXISTS (
            SELECT 1 FROM pki.address t JOIN policy.setting s ON s.value ? t.address
            WHERE t.certificate = p_id AND s.name = 'smime_additional_certificates' AND NOT EXISTS (
                SELECT 1 FROM pki.address o WHERE o.address = t.address AND o.certificate <> p_id)) THEN 'in-setting'
        END;
    IF v_use IS NOT NULL AND NOT (p_force AND coalesce(p_reason, '') <> '') THEN
        RETURN v_use;
    END IF;
    DELETE FROM pki.certificate x WHERE x.id = p_id;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'pki.delete', p_id, true, jsonb_build_object(
        'fingerprint', encode(c.fingerprint, 'hex'), 'use', v_use, 'reason', left(p_reason, 500)));
    RETURN 'done';
END
$$;
ALTER FUNCTION pki.delete OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.delete FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.delete TO ll_admin;
