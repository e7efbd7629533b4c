-- accounts.authorise_for: as accounts.authorise, for a token that another login role brought.
-- Who: fn_accounts itself, and fn_keyholder, whose process checks the tokens of its clients.
-- Promises: as accounts.authorise; p_role is the role the token must be bound to.
-- Locks: the session's row when its time is renewed. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION accounts.authorise_for(
    p_token bytea, p_permission text, p_role text, OUT session uuid, OUT principal text, OUT organisation uuid
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v record;
BEGIN
    SELECT s.id, s.principal, s.organisation, s.used_at,
           s.ended_at IS NULL AND s.expires_at > statement_timestamp()
           AND s.used_at + s.idle > statement_timestamp()
           AND s.role = p_role AND p_permission = ANY (s.permissions) AS good
    INTO v FROM accounts.session s WHERE s.token_hash = sha256(p_token);
    IF v.good THEN
        session := v.id;
        principal := v.principal;
        organisation := v.organisation;
        IF v.used_at < statement_timestamp() - interval '1 minute' THEN
            UPDATE accounts.session s SET used_at = statement_timestamp() WHERE s.id = v.id;
        END IF;
    ELSE
        PERFORM audit.write(v.principal, v.organisation, p_permission, NULL, false, jsonb_build_object('why', 'token'));
        RAISE WARNING 'denied' USING ERRCODE = 'LL002';
    END IF;
END
$$;
ALTER FUNCTION accounts.authorise_for OWNER TO fn_accounts;
REVOKE ALL ON FUNCTION accounts.authorise_for FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.authorise_for TO fn_keyholder;
