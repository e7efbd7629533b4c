-- queue.tidy: remove what has lost its meaning: back-offs and grants of yesterday, traces whose epoch day is past.
-- Who: ll_housekeeping.
-- Promises: returns how many rows left; no message and no delivery is touched.
-- Locks: the rows that leave. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.tidy() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_gone bigint;
    v_all bigint := 0;
BEGIN
    DELETE FROM queue.backoff b WHERE b.not_before < statement_timestamp() - interval '1 hour';
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;
    DELETE FROM queue.open_grant g WHERE g.made_at < statement_timestamp() - interval '1 day';
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    v_all := v_all + v_gone;
    DELETE FROM queue.trace t WHERE t.day < (statement_timestamp() AT TIME ZONE 'UTC')::date;
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_all + v_gone;
END
$$;
ALTER FUNCTION queue.tidy OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.tidy FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.tidy TO ll_housekeeping;
