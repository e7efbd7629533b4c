-- policy.set: set a setting at a level.
-- Who: ll_admin, with a token that may policy.change. The value was checked against the registry before it came here.
-- Promises: 'done', 'denied', or 'not-found' when the scope does not exist or does not fit the level. Audited with old and new
--   value; the revision grows. p_scope: '', organisation name or id, '*.example.org', 'example.org', 'a@example.org'.
-- Locks: the setting's row, the revision. Raises: 23514 for an unknown level.
CREATE OR REPLACE FUNCTION policy.set(p_token bytea, p_level text, p_scope text, p_name text, p_value jsonb) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_scope text;
    v_old jsonb;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'policy.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    v_scope := policy.scope(p_level, p_scope);
    IF v_scope IS NULL THEN
        RETURN 'not-found';
    END IF;
    PERFORM policy.grow_revision();
    SELECT s.value INTO v_old FROM policy.setting s WHERE s.level = p_level AND s.scope = v_scope AND s.name = p_name;
    INSERT INTO policy.setting (level, scope, name, value, set_by, set_at)
    VALUES (p_level, v_scope, p_name, p_value, a.principal, statement_timestamp())
    ON CONFLICT (level, scope, name)
    DO UPDATE SET value = excluded.value, set_by = excluded.set_by, set_at = excluded.set_at;
    PERFORM audit.write(a.principal, a.organisation, 'policy.set', NULL, true,
        jsonb_build_object('level', p_level, 'scope', v_scope, 'name', p_name, 'old', v_old, 'new', p_value));
    RETURN 'done';
END
$$;
ALTER FUNCTION policy.set OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.set FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.set TO ll_admin;
