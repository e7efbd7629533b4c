-- policy.settings_for: the effective values of each address, where they differ from the factory's.
-- Who: ll_flow.
-- Promises: as policy.resolve. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.settings_for(p_addresses text[])
RETURNS TABLE (address text, name text, value jsonb, level text, origin text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN QUERY SELECT * FROM policy.resolve(p_addresses);
END
$$;
ALTER FUNCTION policy.settings_for OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.settings_for FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.settings_for TO ll_flow;
