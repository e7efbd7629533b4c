-- policy.domains_list: the domains we know, with who made them known.
-- Who: ll_admin, with a token that may policy.read.
-- Promises: one row a domain. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.domains_list(p_token bytea)
RETURNS TABLE (name text, internal boolean, organisation uuid, organisation_name text, added_by text,
               added_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (accounts.authorise(p_token, 'policy.read')).session IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT d.name, d.internal, d.organisation, o.name, d.added_by, d.added_at
    FROM policy.domain d JOIN policy.organisation o ON o.id = d.organisation ORDER BY d.name;
END
$$;
ALTER FUNCTION policy.domains_list OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.domains_list FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.domains_list TO ll_admin;
