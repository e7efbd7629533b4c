-- queue.notify: notices of our own making enter the queue beside any message.
-- Who: ll_flow.
-- Promises: all of the batch or none; the same id again is a no-op, as long as it is here or its trace is kept. One audit row
--   each. Locks: nothing but the new rows. Raises: LL001 (a session or epoch is unknown or over; nothing has entered).
CREATE OR REPLACE FUNCTION queue.notify(
    p_ids uuid[], p_sessions uuid[], p_days date[], p_wrapped_keys bytea[], p_commitments bytea[], p_envelopes bytea[],
    p_manifests bytea[], p_sizes bigint[], p_segments int[], p_bodies bytea[], p_recipients text[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM queue.enter('queue.notice', NULL, p_ids, p_sessions, p_days, p_wrapped_keys, p_commitments, p_envelopes,
                        p_manifests, p_sizes, p_segments, p_bodies, array_fill(''::text, ARRAY[cardinality(p_ids)]),
                        ARRAY(SELECT generate_series(1, cardinality(p_ids))), p_recipients,
                        array_fill(NULL::uuid, ARRAY[cardinality(p_ids)]));
END
$$;
ALTER FUNCTION queue.notify OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.notify FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.notify TO ll_flow;
