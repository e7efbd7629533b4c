-- queue.read_rows: messages and deliveries as an administrator sees them: no content, no keys.
-- Who: fn_queue itself (list, show).
-- Promises: of p_ids (null: all) those in p_state (null: any), the oldest first, at most p_max. kind: message or delivery.
--   recipients and recipient_states are of one length.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.read_rows(p_ids uuid[], p_state text, p_max int)
RETURNS TABLE (kind text, id uuid, message_id uuid, state text, sender text, recipients text[], recipient_states text[],
               size bigint, accepted_at timestamptz, due_at timestamptz, attempts int, method text, direction text,
               domain text, next_hop text, expires_at timestamptz, reason text, released_by text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT x.kind, x.id, x.message_id, x.state, x.sender,
           ARRAY(SELECT r.address FROM queue.recipient r WHERE r.owner = x.id ORDER BY r.n),
           ARRAY(SELECT r.state::text FROM queue.recipient r WHERE r.owner = x.id ORDER BY r.n),
           x.size, x.accepted_at, x.due_at, x.attempts, x.method, x.direction, x.domain, x.next_hop, x.expires_at,
           x.reason, x.released_by
    FROM (SELECT 'message' AS kind, m.id, m.id AS message_id, m.state::text AS state, m.sender, m.size, m.accepted_at,
                 d.due_at, d.attempts, NULL::text AS method, NULL::text AS direction, NULL::text AS domain,
                 NULL::text AS next_hop, NULL::timestamptz AS expires_at, m.reason, m.released_by
          FROM queue.message m LEFT JOIN queue.due d ON d.id = m.id
          WHERE p_ids IS NULL OR m.id = ANY (p_ids)
          UNION ALL
          SELECT 'delivery', y.id, y.message_id,
                 CASE WHEN d.lease IS NOT NULL AND d.due_at > statement_timestamp() THEN 'leased' ELSE 'due' END,
                 y.sender, y.size, y.accepted_at, d.due_at, d.attempts, y.method, y.direction, y.domain, y.next_hop,
                 y.expires_at, y.reply, NULL
          FROM queue.delivery y LEFT JOIN queue.due d ON d.id = y.id
          WHERE p_ids IS NULL OR y.id = ANY (p_ids) OR y.message_id = ANY (p_ids)) x
    WHERE p_state IS NULL OR x.state = p_state
    ORDER BY x.accepted_at, x.id LIMIT p_max;
END
$$;
ALTER FUNCTION queue.read_rows OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.read_rows FROM PUBLIC;
