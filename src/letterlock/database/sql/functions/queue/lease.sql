-- queue.lease: put a new lease on what is due.
-- Who: fn_queue itself (claim_messages, claim_deliveries, turn).
-- Promises: at most p_max, and no more than p_octets together (one at least), the longest due first; two claimers never get
--   the same; what a dead worker held comes back when its lease ends. A domain in back-off is passed over (deliveries only).
-- Locks: the leased rows of queue.due, skipping locked ones. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.lease(
    p_stage int, p_max int, p_octets bigint, p_lease_for interval, p_worker uuid, OUT lease uuid, OUT ids uuid[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_lease uuid := gen_random_uuid();
BEGIN
    lease := v_lease;
    -- statement_timestamp() is stable, so it is an index condition; clock_timestamp() would be a filter on every row
    WITH q AS MATERIALIZED (
        SELECT d.id, d.due_at, d.size FROM queue.due d
        WHERE d.stage = p_stage AND d.due_at <= statement_timestamp()
          AND (p_stage = 1 OR NOT EXISTS (SELECT 1 FROM queue.backoff b
                                          WHERE b.domain = d.domain AND b.not_before > statement_timestamp()))
        ORDER BY d.due_at LIMIT p_max FOR UPDATE OF d SKIP LOCKED
    ), fit AS (
        SELECT q.id, row_number() OVER w AS n, sum(q.size) OVER w AS octets
        FROM q WINDOW w AS (ORDER BY q.due_at, q.id)
    ), u AS (
        UPDATE queue.due d
        SET lease = v_lease, worker = p_worker, due_at = statement_timestamp() + p_lease_for, attempts = d.attempts + 1
        WHERE d.id = ANY (ARRAY(SELECT fit.id FROM fit WHERE fit.n = 1 OR fit.octets <= p_octets))
        RETURNING d.id
    )
    SELECT array_agg(u.id) INTO ids FROM u;
END
$$;
ALTER FUNCTION queue.lease OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.lease FROM PUBLIC;
