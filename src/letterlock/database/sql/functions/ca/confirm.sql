-- ca.confirm: the owner of a certificate has its key now.
-- Who: ll_admin, with a token that may ca.change.
-- Promises: 'done'; 'already'; 'not-found'; 'denied'. From now on mail is encrypted to it. Audited.
-- Locks: the certificate's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.confirm(p_token bytea, p_id uuid)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
BEGIN
    SELECT * INTO a FROM ca.allow(p_token, 'ca.change');
    IF a.principal IS NULL THEN
        RETURN 'denied';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM ca.issued i WHERE i.id = p_id) THEN
        RETURN 'not-found';
    END IF;
    UPDATE ca.issued i SET held = false WHERE i.id = p_id AND i.held;
    IF NOT FOUND THEN
        RETURN 'already';
    END IF;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'ca.confirm', p_id, true, NULL);
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.confirm OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.confirm FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.confirm TO ll_admin;
