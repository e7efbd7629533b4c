-- policy.organisations: who owns domains and settings.
-- Who: ll_admin, with a token that may policy.read.
-- Promises: one row an organisation; the first installation has one named default. A denial is audited, warns LL002 and answers
--   no row. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.organisations(p_token bytea) RETURNS TABLE (id uuid, name text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (accounts.authorise(p_token, 'policy.read')).session IS NOT NULL THEN
        RETURN QUERY SELECT o.id, o.name FROM policy.organisation o ORDER BY o.name;
    END IF;
END
$$;
ALTER FUNCTION policy.organisations OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.organisations FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.organisations TO ll_admin;
