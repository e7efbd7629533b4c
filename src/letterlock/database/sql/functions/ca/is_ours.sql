-- ca.is_ours: is that an address of an internal domain?
-- Who: fn_ca itself; fn_acme.
-- Promises: the domain, or a wildcard above it, is known as internal. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.is_ours(p_address text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM policy.domain d
        WHERE d.internal AND (d.name = split_part(p_address, '@', -1)
                              OR left(d.name, 2) = '*.' AND right(p_address, length(d.name) - 1) = substr(d.name, 2)));
END
$$;
ALTER FUNCTION ca.is_ours OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.is_ours FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.is_ours TO fn_acme;
