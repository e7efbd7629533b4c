-- pki.remove_anchor: trust a certificate no more; it stays in the store.
-- Who: ll_admin, with a token that may pki.change.
-- Promises: 'done', 'not-found' (no such anchor) or 'denied'. Audited; the revision grows.
-- Locks: the anchor's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.remove_anchor(p_token bytea, p_id uuid) RETURNS text
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
    DELETE FROM pki.anchor t WHERE t.certificate = p_id;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'pki.remove_anchor', p_id, true,
                        jsonb_build_object('fingerprint', encode(v_fingerprint, 'hex')));
    RETURN 'done';
END
$$;
ALTER FUNCTION pki.remove_anchor OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.remove_anchor FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.remove_anchor TO ll_admin;
