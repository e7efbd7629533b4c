-- queue.free_leases: what the worker's predecessor held, or what it does not know of, is due now.
-- Who: ll_flow, ll_deliver: each frees leases of its own stage only.
-- Promises: returns how many; leases in p_kept stay. An attempt that came to nothing is not counted, unless p_died: then it
--   may be what the worker died of.
-- Locks: the freed rows of queue.due. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.free_leases(p_worker uuid, p_kept uuid[], p_died boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_freed bigint;
BEGIN
    UPDATE queue.due d
    SET lease = NULL, worker = NULL, due_at = statement_timestamp(), 
        attempts = CASE WHEN p_died THEN d.attempts ELSE greatest(d.attempts - 1, 0) END
    WHERE d.worker = p_worker AND d.lease <> ALL (p_kept) AND d.stage = CASE session_user WHEN 'll_flow' THEN 1 WHEN 'll_deliver' THEN 2 END;
    GET DIAGNOSTICS v_freed = ROW_COUNT;
    RETURN v_freed;
END
$$;
ALTER FUNCTION queue.free_leases OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.free_leases FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.free_leases TO ll_flow, ll_deliver;
