-- queue.accept: take responsibility for messages. Its commit is the instant after which we answer 250.
-- Who: ll_receive; ll_housekeeping, for what the gateway itself has to tell.
-- Promises: all of the batch or none; durable at commit whatever the caller's synchronous_commit; the same id again is a
--   no-op, as long as the message is here or its trace is kept. One audit row a message.
--   p_recipient_of: for each of p_recipients its message, as a 1-based place in p_ids.
-- Locks: nothing but the new rows. Raises: LL001 (a session or epoch is unknown or over; nothing was accepted).
CREATE OR REPLACE FUNCTION queue.accept(
    p_ids uuid[], p_sessions uuid[], p_days date[], p_wrapped_keys bytea[], p_commitments bytea[], p_envelopes bytea[],
    p_manifests bytea[], p_sizes bigint[], p_segments int[], p_bodies bytea[], p_senders text[],
    p_recipient_of int[], p_recipients text[], p_organisations uuid[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM queue.enter('queue.accept', NULL, p_ids, p_sessions, p_days, p_wrapped_keys, p_commitments, p_envelopes,
                        p_manifests, p_sizes, p_segments, p_bodies, p_senders, p_recipient_of, p_recipients,
                        p_organisations);
END
$$;
ALTER FUNCTION queue.accept OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.accept FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.accept TO ll_receive, ll_housekeeping;
