-- pki.delete: forget a certificate, its addresses, and that it was an anchor. Its private key stays in the keyholder's care.
-- Who: ll_admin, with a token that may pki.change.
-- Promises: 'done', 'not-found' or 'denied'. Audited; the revision grows.
-- Locks: the certificate's rows, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.delete(p_token bytea, p_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_fingerprint bytea;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'pki.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT c.fingerprint INTO v_fingerprint FROM pki.certificate c WHERE c.id = p_id;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    DELETE FROM pki.certificate c WHERE c.id = p_id;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'pki.delete', p_id, true,
                        jsonb_build_object('fingerprint', encode(v_fingerprint, 'hex')));
    RETURN 'done';
END
$$;
ALTER FUNCTION pki.delete OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.delete FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.delete TO ll_admin;
