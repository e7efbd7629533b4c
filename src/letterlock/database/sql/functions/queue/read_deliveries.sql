-- queue.read_deliveries: the rows of deliveries just leased.
-- Who: fn_queue itself (claim_deliveries, turn).
-- Promises: nothing is changed. recipients: those still pending.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.read_deliveries(p_lease uuid, p_ids uuid[])
RETURNS TABLE (id uuid, lease uuid, attempts int, message_id uuid, method text, direction text, domain text,
               next_hop text, tls_min smallint, accepted_at timestamptz, expires_at timestamptz, delayed boolean,
               size bigint, segments int, session uuid, day date, commitment bytea, envelope bytea, manifest bytea,
               body bytea, recipients text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT y.id, p_lease, (SELECT d.attempts FROM queue.due d WHERE d.id = y.id), y.message_id, y.method, y.direction, y.domain, y.next_hop, y.tls_min,
           y.accepted_at, y.expires_at, y.delayed, y.size, y.segments, y.session, y.day, y.commitment, y.envelope,
           y.manifest, y.body,
           ARRAY(SELECT r.address FROM queue.recipient r WHERE r.owner = y.id AND r.state = 'pending' ORDER BY r.n)
    FROM queue.delivery y WHERE y.id = ANY (p_ids);
END
$$;
ALTER FUNCTION queue.read_deliveries OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.read_deliveries FROM PUBLIC;
