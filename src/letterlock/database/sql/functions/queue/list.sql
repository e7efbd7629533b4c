-- queue.list: what is in the queue.
-- Who: ll_admin, with a token that may queue.read.
-- Promises: messages and deliveries in p_state (null: any), the oldest first, at most p_max. No content, no keys, no subject.
--   A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.list(p_token bytea, p_state text, p_max int)
RETURNS TABLE (kind text, id uuid, message_id uuid, state text, sender text, recipients text[], recipient_states text[],
               size bigint, accepted_at timestamptz, due_at timestamptz, attempts int, method text, direction text,
               domain text, next_hop text, expires_at timestamptz, reason text, released_by text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF (accounts.authorise(p_token, 'queue.read')).session IS NOT NULL THEN
        RETURN QUERY SELECT * FROM queue.read_rows(NULL, p_state, p_max);
    END IF;
END
$$;
ALTER FUNCTION queue.list OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.list FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.list TO ll_admin;
