-- accounts.spend_opening: one of the openings a session may make.
-- Who: fn_queue only.
-- Promises: true while the budget lasted; a stolen session cannot open everything.
-- Locks: the session's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION accounts.spend_opening(p_session uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE accounts.session s SET openings_left = s.openings_left - 1 WHERE s.id = p_session AND s.openings_left > 0;
    RETURN FOUND;
END
$$;
ALTER FUNCTION accounts.spend_opening OWNER TO fn_accounts;
REVOKE ALL ON FUNCTION accounts.spend_opening FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.spend_opening TO fn_queue;
