-- pki.untie: take back what pki.tie did.
-- Who: ll_admin, with a token that may pki.change.
-- Promises: 'done', 'not-found' (no such tie) or 'denied'. Audited; the revision grows.
-- Locks: the row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.untie(p_token bytea, p_id uuid, p_scope text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'pki.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    DELETE FROM pki.address t WHERE t.address = '@' || p_scope AND t.certificate = p_id;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'pki.untie', p_id, true, jsonb_build_object('scope', p_scope));
    RETURN 'done';
END
$$;
ALTER FUNCTION pki.untie OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.untie FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.untie TO ll_admin;
