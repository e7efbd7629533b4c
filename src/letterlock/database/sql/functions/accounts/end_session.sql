-- accounts.end_session: this token speaks for nobody any more.
-- Who: ll_admin, with any live token of its own.
-- Promises: 'done' or 'denied'; audited; grants of the session are worthless from the commit on.
-- Locks: the session's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION accounts.end_session(p_token bytea) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v record;
BEGIN
    SELECT * INTO v FROM accounts.authorise_for(p_token, 'accounts.own', session_user);
    IF v.session IS NULL THEN
        RETURN 'denied';
    END IF;
    UPDATE accounts.session s SET ended_at = statement_timestamp() WHERE s.id = v.session;
    PERFORM audit.write(v.principal, v.organisation, 'accounts.logout', v.session, true, NULL);
    RETURN 'done';
END
$$;
ALTER FUNCTION accounts.end_session OWNER TO fn_accounts;
REVOKE ALL ON FUNCTION accounts.end_session FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.end_session TO ll_admin;
