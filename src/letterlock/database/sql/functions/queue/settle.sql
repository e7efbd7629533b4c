-- queue.settle: what became of leased deliveries. Its commit is the end of our responsibility for a recipient.
-- Who: ll_deliver; fn_queue itself (turn).
-- Promises: one transaction for all, durable at commit whatever the caller's synchronous_commit. An item whose lease is no
--   longer the one given is left out with its outcomes and notices. Recipients with an outcome leave. A delivery leaves when
--   it is done and none of its recipients is left; one that is done with a recipient left stays, is tried again in five minutes,
--   and is not among the ids returned. Not done: tried again at due_at. Returned: the ids settled as asked, whose segments may go.
--   p_outcome_of, p_notice_of: 1-based places in p_ids. delayed: a notice of delay was entered now or before.
--   One audit row for each outcome (with the reply), one for each attempt that ended without.
-- Locks: the due rows of the batch, the back-off rows named. Raises: LL001 (a notice's session).
CREATE OR REPLACE FUNCTION queue.settle(
    p_lease uuid[], p_ids uuid[], p_done boolean[], p_due_at timestamptz[], p_replies text[], p_delayed boolean[],
    p_outcome_of int[], p_outcome_addresses text[], p_outcome_states text[],
    p_backoff_domains text[], p_backoff_until timestamptz[],
    p_notice_of int[], p_notice_ids uuid[], p_notice_sessions uuid[], p_notice_days date[],
    p_notice_wrapped_keys bytea[], p_notice_commitments bytea[], p_notice_envelopes bytea[],
    p_notice_manifests bytea[], p_notice_sizes bigint[], p_notice_segments int[], p_notice_bodies bytea[],
    p_notice_recipients text[]
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_ours uuid[];
    v_left uuid[];
    v_gone uuid[];
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);

    -- 1. The fence; a row lock keeps a release of leases from coming between. LATERAL with a lock is looked up id by id,
    --    whatever the planner believes of a table that was empty when it looked last.
    SELECT array_agg(x.id) INTO v_ours
    FROM unnest(p_ids, p_lease) AS u (id, lease),
         LATERAL (SELECT d.id FROM queue.due d WHERE d.id = u.id AND d.lease = u.lease AND d.stage + 0 = 2 FOR UPDATE) x;

    -- 2. Back-off holds whoever saw it.
    IF cardinality(p_backoff_domains) > 0 THEN
        INSERT INTO queue.backoff (domain, not_before)
        SELECT u.domain, max(u.until) FROM unnest(p_backoff_domains, p_backoff_until) AS u (domain, until)
        GROUP BY u.domain ORDER BY u.domain
        ON CONFLICT (domain) DO UPDATE SET not_before = excluded.not_before;
    END IF;
    IF v_ours IS NULL THEN
        RETURN;
    END IF;

    -- 3. Recipients leave, then the deliveries that have none left.
    DELETE FROM queue.recipient r
    USING unnest(p_outcome_of, p_outcome_addresses) AS o (of, address)
    WHERE r.owner = p_ids[o.of] AND r.address = o.address AND r.owner = ANY (v_ours);
    SELECT array_agg(DISTINCT r.owner) INTO v_left FROM queue.recipient r WHERE r.owner = ANY (v_ours);
    SELECT array_agg(u.id) INTO v_gone FROM unnest(p_ids, p_done) AS u (id, done)
    WHERE u.done AND u.id = ANY (v_ours) AND (v_left IS NULL OR u.id <> ALL (v_left));
    IF v_gone IS NOT NULL THEN
        DELETE FROM queue.due d WHERE d.id = ANY (v_gone);
        DELETE FROM queue.delivery y WHERE y.id = ANY (v_gone);
    END IF;
    IF v_gone IS NULL OR cardinality(v_gone) < cardinality(v_ours) THEN
        UPDATE queue.due d
        SET lease = NULL, worker = NULL,
            due_at = CASE WHEN u.done OR u.due_at IS NULL THEN statement_timestamp() + interval '5 minutes'
                     ELSE u.due_at END
        FROM unnest(p_ids, p_done, p_due_at) AS u (id, done, due_at)
        WHERE d.id = u.id AND d.id = ANY (v_ours) AND (v_gone IS NULL OR d.id <> ALL (v_gone));
        UPDATE queue.delivery y SET reply = u.reply, delayed = y.delayed OR u.delayed
        FROM unnest(p_ids, p_replies, p_delayed) AS u (id, reply, delayed)
        WHERE y.id = u.id AND y.id = ANY (v_ours);
    END IF;

    -- 4. Notices enter.
    IF cardinality(p_notice_ids) > 0 THEN
        PERFORM queue.enter('queue.notice',
            ARRAY(SELECT u.id FROM unnest(p_notice_of, p_notice_ids) AS u (of, id) WHERE p_ids[u.of] = ANY (v_ours)),
            p_notice_ids, p_notice_sessions, p_notice_days, p_notice_wrapped_keys, p_notice_commitments,
            p_notice_envelopes, p_notice_manifests, p_notice_sizes, p_notice_segments, p_notice_bodies,
            array_fill(''::text, ARRAY[cardinality(p_notice_ids)]),
            ARRAY(SELECT generate_series(1, cardinality(p_notice_ids))), p_notice_recipients,
            array_fill(NULL::uuid, ARRAY[cardinality(p_notice_ids)]));
    END IF;

    -- 5. The audit trail.
    PERFORM audit.write_many(array_agg(a.action), array_agg(a.object), array_agg(a.detail))
    FROM (SELECT 'queue.' || o.state AS action, p_ids[o.of] AS object,
                 jsonb_build_object('recipient', o.address, 'reply', p_replies[o.of]) AS detail
          FROM unnest(p_outcome_of, p_outcome_addresses, p_outcome_states) AS o (of, address, state)
          WHERE p_ids[o.of] = ANY (v_ours)
          UNION ALL
          SELECT 'queue.deferred', u.id, jsonb_build_object('reply', u.reply)
          FROM unnest(p_ids, p_replies) AS u (id, reply)
          WHERE u.id = ANY (v_ours) AND (v_gone IS NULL OR u.id <> ALL (v_gone))) a
    HAVING count(*) > 0;
    RETURN QUERY SELECT u.id FROM unnest(p_ids, p_done) AS u (id, done)
    WHERE u.id = ANY (v_ours) AND (NOT u.done OR u.id = ANY (v_gone));
END
$$;
ALTER FUNCTION queue.settle OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.settle FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.settle TO ll_deliver;
