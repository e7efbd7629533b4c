-- queue.check_sessions: were these contents sealed in sessions that the asking role holds now?
-- Who: fn_queue itself.
-- Promises: returns only if every session is known, bound to the login role, not past its end, not void, and of an epoch
--   that has the day named and is not destroyed: what could never be opened again is never accepted.
-- Locks: nothing. Raises: LL001 (temporary: seal again in a new session).
CREATE OR REPLACE FUNCTION queue.check_sessions(p_sessions uuid[], p_days date[]) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    FOR i IN 1 .. cardinality(p_sessions) LOOP
        -- a batch is sealed in one session, but for the moment in which it is renewed
        CONTINUE WHEN i > 1 AND p_sessions[i] = p_sessions[i - 1] AND p_days[i] = p_days[i - 1];
        PERFORM 1 FROM keyholder.session s JOIN keyholder.epoch e ON e.id = s.epoch
        WHERE s.id = p_sessions[i] AND s.role = session_user AND s.void_at IS NULL
          AND s.not_after > statement_timestamp() AND e.day = p_days[i] AND e.destroyed_at IS NULL;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'sealing session unknown or over' USING ERRCODE = 'LL001';
        END IF;
    END LOOP;
END
$$;
ALTER FUNCTION queue.check_sessions OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.check_sessions FROM PUBLIC;
