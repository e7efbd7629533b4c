-- queue.check_sessions: were these contents sealed in sessions that the asking role holds now?
-- Who: fn_queue itself.
-- Promises: returns only if every session is known, bound to the login role, not past its end, not void, and of an epoch
--   that has the day named and is not destroyed: what could never be opened again is never accepted.
-- Locks: nothing. Raises: LL001 (temporary: seal again in a new session).
CREATE OR REPLACE FUNCTION queue.check_sessions(p_sessions uuid[], p_days date[]) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF EXISTS (
        SELECT 1
        FROM (SELECT DISTINCT u.session, u.day FROM unnest(p_sessions, p_days) AS u (session, day)) c
        LEFT JOIN keyholder.session s ON s.id = c.session AND s.role = session_user AND s.void_at IS NULL
                                      AND s.not_after > statement_timestamp()
        LEFT JOIN keyholder.epoch e ON e.id = s.epoch AND e.day = c.day AND e.destroyed_at IS NULL
        WHERE e.id IS NULL
    ) THEN
        RAISE EXCEPTION 'sealing session unknown or over' USING ERRCODE = 'LL001';
    END IF;
END
$$;
ALTER FUNCTION queue.check_sessions OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.check_sessions FROM PUBLIC;
