-- ca.profiles: the profiles that were set.
-- Who: ll_admin, with a token that may ca.read; ll_housekeeping.
-- Promises: by name. A denial is audited, warns LL002 and answers no row. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.profiles(p_token bytea)
RETURNS TABLE (organisation uuid, name text, body jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (ca.allow(p_token, 'ca.read')).principal IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT p.organisation, p.name, p.body FROM ca.profile p ORDER BY p.name;
END
$$;
ALTER FUNCTION ca.profiles OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.profiles FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.profiles TO ll_admin, ll_housekeeping;
