-- queue.turn: settle what is finished and claim what is next, in one transaction and one round trip.
-- Who: ll_deliver.
-- Promises: as queue.settle and queue.claim_deliveries. The first row has no id: its column settled holds what settle
--   returned; the rows after it are the claim. When something was settled or claimed the commit is synchronous, else
--   asynchronous: what is sent has been flushed.
-- Locks: as both. Raises: LL001 (a notice's session).
CREATE OR REPLACE FUNCTION queue.turn(
    p_lease uuid[], p_ids uuid[], p_done boolean[], p_due_at timestamptz[], p_replies text[], p_delayed boolean[],
    p_outcome_of int[], p_outcome_addresses text[], p_outcome_states text[],
    p_backoff_domains text[], p_backoff_until timestamptz[],
    p_notice_of int[], p_notice_ids uuid[], p_notice_sessions uuid[], p_notice_days date[],
    p_notice_wrapped_keys bytea[], p_notice_commitments bytea[], p_notice_envelopes bytea[],
    p_notice_manifests bytea[], p_notice_sizes bigint[], p_notice_segments int[], p_notice_bodies bytea[],
    p_notice_recipients text[], p_max int, p_octets bigint, p_lease_for interval, p_worker uuid
) RETURNS TABLE (settled uuid[], id uuid, lease uuid, attempts int, message_id uuid, method text, direction text,
                 domain text, next_hop text, tls_min smallint, accepted_at timestamptz, expires_at timestamptz,
                 delayed boolean, size bigint, segments int, session uuid, day date, commitment bytea, envelope bytea,
                 manifest bytea, body bytea, recipients text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v record;
BEGIN
    settled := '{}';
    IF cardinality(p_ids) > 0 OR cardinality(p_backoff_domains) > 0 THEN
        settled := ARRAY(SELECT queue.settle(
            p_lease, p_ids, p_done, p_due_at, p_replies, p_delayed, p_outcome_of, p_outcome_addresses, p_outcome_states,
            p_backoff_domains, p_backoff_until, p_notice_of, p_notice_ids, p_notice_sessions, p_notice_days,
            p_notice_wrapped_keys, p_notice_commitments, p_notice_envelopes, p_notice_manifests, p_notice_sizes,
            p_notice_segments, p_notice_bodies, p_notice_recipients));
        PERFORM set_config('synchronous_commit', 'on', true);
    ELSE
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN NEXT;
    SELECT * INTO v FROM queue.lease(2, p_max, p_octets, p_lease_for, p_worker);
    IF v.ids IS NOT NULL THEN
        -- flushes the advance that made them too: were it lost after they were sent, flow would make other octets
        PERFORM set_config('synchronous_commit', 'on', true);
        RETURN QUERY SELECT NULL::uuid[], r.* FROM queue.read_deliveries(v.lease, v.ids) r;
    END IF;
END
$$;
ALTER FUNCTION queue.turn OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.turn FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.turn TO ll_deliver;
