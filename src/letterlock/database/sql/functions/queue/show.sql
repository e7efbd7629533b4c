-- queue.show: one message with its deliveries, or one delivery.
-- Who: ll_admin, with a token that may queue.read.
-- Promises: rows as queue.list; none when there is no such id. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.show(p_token bytea, p_id uuid)
RETURNS TABLE (kind text, id uuid, message_id uuid, state text, sender text, recipients text[], recipient_states text[],
               size bigint, accepted_at timestamptz, due_at timestamptz, attempts int, method text, direction text,
               domain text, next_hop text, expires_at timestamptz, reason text, released_by text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF (accounts.authorise(p_token, 'queue.read')).session IS NOT NULL THEN
        RETURN QUERY SELECT * FROM queue.read_rows(ARRAY[p_id], NULL, 1000);
    END IF;
END
$$;
ALTER FUNCTION queue.show OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.show FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.show TO ll_admin;
