-- ca.allow: who asks, a person or housekeeping?
-- Who: fn_ca itself; fn_acme.
-- Promises: principal null: denied (audited, warned LL002 by accounts.authorise). Housekeeping brings no token: its login
--   role is its identity, and what it may do beyond a person's wish is checked where it is done.
-- Locks: the session's row when its time is renewed. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.allow(
    p_token bytea, p_permission text, OUT principal text, OUT organisation uuid, OUT session uuid
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF session_user = 'll_housekeeping' THEN
        principal := 'housekeeping';
        SELECT o.id INTO organisation FROM policy.organisation o WHERE o.name = 'default';
    ELSE
        SELECT a.principal, a.organisation, a.session INTO principal, organisation, session
        FROM accounts.authorise(p_token, p_permission) a WHERE a.session IS NOT NULL;
    END IF;
END
$$;
ALTER FUNCTION ca.allow OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.allow FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.allow TO fn_acme;
