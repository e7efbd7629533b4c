-- policy.explain: the effective values of each address, for a person.
-- Who: ll_admin, with a token that may policy.read.
-- Promises: as policy.resolve. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.explain(p_token bytea, p_addresses text[])
RETURNS TABLE (address text, name text, value jsonb, level text, origin text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF (accounts.authorise(p_token, 'policy.read')).session IS NOT NULL THEN
        RETURN QUERY SELECT * FROM policy.resolve(p_addresses);
    END IF;
END
$$;
ALTER FUNCTION policy.explain OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.explain FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.explain TO ll_admin;
