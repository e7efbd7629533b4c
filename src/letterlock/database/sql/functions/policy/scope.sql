-- policy.scope: the scope of a setting as it is stored.
-- Who: fn_policy itself (set, unset).
-- Promises: lower case; an organisation by name becomes its id; null when there is no such organisation or the form is wrong
--   for the level. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.scope(p_level text, p_scope text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v text := lower(p_scope);
BEGIN
    RETURN CASE p_level
        WHEN 'gateway' THEN CASE WHEN v = '' THEN v END
        WHEN 'organisation' THEN (SELECT o.id::text FROM policy.organisation o WHERE o.id::text = v OR o.name = p_scope)
        WHEN 'wildcard' THEN CASE WHEN v LIKE '*._%' AND v NOT LIKE '%@%' THEN v END
        WHEN 'domain' THEN CASE WHEN v <> '' AND v NOT LIKE '%@%' AND v NOT LIKE '*%' THEN v END
        WHEN 'user' THEN CASE WHEN v LIKE '_%@_%' THEN v END
    END;
END
$$;
ALTER FUNCTION policy.scope OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.scope FROM PUBLIC;
