-- policy.unset: let a setting have its inherited value again.
-- Who: ll_admin, with a token that may policy.change.
-- Promises: 'done', 'denied', or 'not-found' when it was not set there. Audited with the old value; the revision grows.
-- Locks: the setting's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.unset(p_token bytea, p_level text, p_scope text, p_name text) RETURNS text
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
    DELETE FROM policy.setting s WHERE s.level = p_level AND s.scope = v_scope AND s.name = p_name
    RETURNING s.value INTO v_old;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'policy.unset', NULL, true,
        jsonb_build_object('level', p_level, 'scope', v_scope, 'name', p_name, 'old', v_old));
    RETURN 'done';
END
$$;
ALTER FUNCTION policy.unset OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.unset FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.unset TO ll_admin;
