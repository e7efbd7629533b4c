-- accounts.authorise: whose token is this, and may it do that?
-- Who: the definer roles only.
-- Promises: the session of a live token, bound to the login role that asks, with the permission; its idle time starts anew
--   (written at most once a minute). Else session is null, the denial is in the audit trail, and the client gets the warning
--   LL002, which the gate turns into Denied: an exception would roll the audit row back.
-- Locks: the session's row when its time is renewed. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION accounts.authorise(
    p_token bytea, p_permission text, OUT session uuid, OUT principal text, OUT organisation uuid
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_answer record;
BEGIN
    SELECT * INTO v_answer FROM accounts.authorise_for(p_token, p_permission, session_user);
    session := v_answer.session;
    principal := v_answer.principal;
    organisation := v_answer.organisation;
END
$$;
ALTER FUNCTION accounts.authorise OWNER TO fn_accounts;
REVOKE ALL ON FUNCTION accounts.authorise FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.authorise TO fn_queue, fn_policy, fn_pki, fn_audit, fn_ca;
