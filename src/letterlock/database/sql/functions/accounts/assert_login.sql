-- accounts.assert_login: this person has proved who they are; from now on this token speaks for them.
-- Who: ll_login (the doorkeeper) and nobody else.
-- Promises: a session bound to p_role, ended after p_idle without use or p_absolute in all (at most 15 minutes and 8 hours);
--   audited; durable before the token is handed out. Only the token's SHA-256 comes here. An administrator's permissions
--   are those listed below. Null: p_role has no people, or the hash is not 32 octets.
-- Locks: nothing. Raises: 23505 when the hash is known already.
CREATE OR REPLACE FUNCTION accounts.assert_login(
    p_principal text, p_role text, p_token_hash bytea, p_idle interval, p_absolute interval
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_id uuid := gen_random_uuid();
    v_organisation uuid;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT o.id INTO v_organisation FROM policy.organisation o WHERE o.name = 'default';
    IF p_role <> 'll_admin' OR length(p_token_hash) <> 32 OR p_principal = '' THEN
        PERFORM audit.write(p_principal, v_organisation, 'accounts.login', NULL, false, jsonb_build_object('role', p_role));
        RETURN NULL;
    END IF;
    INSERT INTO accounts.session (id, token_hash, principal, organisation, role, permissions, made_at, used_at, idle,
                                  expires_at, openings_left)
    VALUES (v_id, p_token_hash, p_principal, v_organisation, p_role,
            ARRAY['queue.read', 'queue.change', 'queue.open', 'policy.read', 'policy.change', 'pki.read', 'pki.change',
                  'keys.import', 'keys.export', 'ca.read', 'ca.change', 'audit.read', 'accounts.own'],
            statement_timestamp(), statement_timestamp(), least(p_idle, interval '15 minutes'),
            statement_timestamp() + least(p_absolute, interval '8 hours'), 100);
    PERFORM audit.write(p_principal, v_organisation, 'accounts.login', v_id, true, jsonb_build_object('role', p_role));
    RETURN v_id;
END
$$;
ALTER FUNCTION accounts.assert_login OWNER TO fn_accounts;
REVOKE ALL ON FUNCTION accounts.assert_login FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.assert_login TO ll_login;
