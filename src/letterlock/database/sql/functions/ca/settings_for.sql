-- ca.settings_for: what is set for addresses, for who requests or watches its certificates.
-- Who: ll_admin, with a token that may ca.read; ll_housekeeping.
-- Promises: the rows of policy.resolve. A denial is audited, warns LL002 and answers no row. Locks: nothing. Raises: nothing of
--  its own.
CREATE OR REPLACE FUNCTION ca.settings_for(p_token bytea, p_addresses text[])
RETURNS TABLE (address text, name text, value jsonb, level text, origin text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (ca.allow(p_token, 'ca.read')).principal IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT r.address, r.name, r.value, r.level, r.origin FROM policy.resolve(p_addresses) r;
END
$$;
ALTER FUNCTION ca.settings_for OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.settings_for FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.settings_for TO ll_admin, ll_housekeeping;
