-- policy.list: the settings that are set, at one level or all.
-- Who: ll_admin, with a token that may policy.read.
-- Promises: of p_level (null: any) and p_scope (null: any; as policy.set takes it). A denial is audited, warns LL002 and
--   answers no row. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.list(p_token bytea, p_level text, p_scope text)
RETURNS TABLE (level text, scope text, name text, value jsonb, set_by text, set_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v_scope text := policy.scope(p_level, p_scope);
BEGIN
    IF (accounts.authorise(p_token, 'policy.read')).session IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT s.level::text, s.scope, s.name, s.value, s.set_by, s.set_at FROM policy.setting s
    WHERE (p_level IS NULL OR s.level = p_level) AND (p_scope IS NULL OR s.scope = coalesce(v_scope, p_scope))
    ORDER BY s.level, s.scope, s.name;
END
$$;
ALTER FUNCTION policy.list OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.list FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.list TO ll_admin;
