-- policy.domains: the domains we know, and whether they are ours.
-- Who: ll_flow.
-- Promises: one row a domain. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.domains() RETURNS TABLE (name text, internal boolean, organisation uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT d.name, d.internal, d.organisation FROM policy.domain d ORDER BY d.name;
END
$$;
ALTER FUNCTION policy.domains OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.domains FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.domains TO ll_flow;
