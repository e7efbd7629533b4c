-- queue.advance: the one transition of the flow: messages leave or stay, their deliveries and notices enter.
-- Who: ll_flow.
-- Promises: one transaction for all. A message whose lease is no longer p_lease is left out with all that belongs to it; the
--   ids really advanced are returned. state gone: message, due and recipient rows leave, its trace stays; held or received:
--   looked at again at due_at, and the recipients that got a delivery or a final outcome leave it. No message leaves while
--   one of its recipients has neither a delivery nor an outcome. One audit row a message, one for each outcome. A recipient held for want of
--   a method stays marked mandatory: no later decision asks for less.
--   p_delivery_of, p_outcome_of, p_notice_of: 1-based places in p_ids; p_recipient_of: in p_delivery_ids. traces: sealed
--   under the message's key; '' for none.
-- Locks: the due rows of the batch. Raises: LL001 (a delivery's or notice's session), LL003 (a recipient unaccounted for).
--   Commits asynchronously: redoing it after a crash is harmless. Not so when a message with a segment file leaves: the
--   caller unlinks the file, so that commit is flushed.
CREATE OR REPLACE FUNCTION queue.advance(
    p_lease uuid, p_ids uuid[], p_states text[], p_due_at timestamptz[], p_reasons text[], p_traces bytea[],
    p_outcome_of int[], p_outcome_addresses text[], p_outcome_states text[],
    p_delivery_of int[], p_delivery_ids uuid[], p_delivery_sessions uuid[], p_delivery_days date[],
    p_delivery_wrapped_keys bytea[], p_delivery_commitments bytea[], p_delivery_envelopes bytea[],
    p_delivery_manifests bytea[], p_delivery_sizes bigint[], p_delivery_segments int[], p_delivery_bodies bytea[],
    p_delivery_methods text[], p_delivery_directions text[], p_delivery_domains text[], p_delivery_next_hops text[],
    p_delivery_tls_min smallint[], p_delivery_expires_at timestamptz[],
    p_recipient_of int[], p_recipients text[], p_recipient_organisations uuid[],
    p_notice_of int[], p_notice_ids uuid[], p_notice_sessions uuid[], p_notice_days date[],
    p_notice_wrapped_keys bytea[], p_notice_commitments bytea[], p_notice_envelopes bytea[],
    p_notice_manifests bytea[], p_notice_sizes bigint[], p_notice_segments int[], p_notice_bodies bytea[],
    p_notice_recipients text[]
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_moved uuid[];
    v_gone uuid[];
    v_lost uuid;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);

    -- 1. The fence: only what we still hold moves. (stage + 0: no index on the stage, which leads through the whole queue)
    SELECT array_agg(x.id), array_agg(x.id) FILTER (WHERE u.state = 'gone') INTO v_moved, v_gone
    FROM unnest(p_ids, p_states) AS u (id, state),
         LATERAL (SELECT d.id FROM queue.due d WHERE d.id = u.id AND d.lease = p_lease AND d.stage + 0 = 1 FOR UPDATE) x;
    DELETE FROM queue.due d WHERE d.id = ANY (v_gone);
    IF v_gone IS NULL OR cardinality(v_gone) < cardinality(v_moved) THEN
        UPDATE queue.due d SET lease = NULL, worker = NULL, due_at = p_due_at[array_position(p_ids, d.id)]
        WHERE d.id = ANY (v_moved);
    END IF;
    IF v_moved IS NULL THEN
        RETURN;
    END IF;

    -- 2. Deliveries and notices enter.
    IF cardinality(p_delivery_ids) > 0 THEN
        PERFORM queue.check_sessions(p_delivery_sessions, p_delivery_days);
        WITH entered AS (
            INSERT INTO queue.delivery (id, message_id, session, day, wrapped_key, commitment, envelope, manifest, size,
                                        segments, body, method, direction, domain, next_hop, tls_min, sender,
                                        accepted_at, expires_at)
            SELECT u.id, p_ids[u.of], u.session, u.day, u.wrapped_key, u.commitment, u.envelope, u.manifest, u.size,
                   u.segments, u.body, u.method, u.direction, u.domain, u.next_hop, u.tls_min, m.sender, m.accepted_at,
                   u.expires_at
            FROM unnest(p_delivery_of, p_delivery_ids, p_delivery_sessions, p_delivery_days, p_delivery_wrapped_keys,
                        p_delivery_commitments, p_delivery_envelopes, p_delivery_manifests, p_delivery_sizes,
                        p_delivery_segments, p_delivery_bodies, p_delivery_methods, p_delivery_directions,
                        p_delivery_domains, p_delivery_next_hops, p_delivery_tls_min, p_delivery_expires_at)
                 AS u (of, id, session, day, wrapped_key, commitment, envelope, manifest, size, segments, body, method,
                       direction, domain, next_hop, tls_min, expires_at)
            JOIN queue.message m ON m.id = p_ids[u.of]
            WHERE m.id = ANY (v_moved)
            RETURNING id, size, domain
        )
        INSERT INTO queue.due (id, stage, due_at, size, domain)
        SELECT e.id, 2, statement_timestamp(), e.size, e.domain FROM entered e;
        INSERT INTO queue.recipient (owner, n, address, domain, organisation)
        SELECT p_delivery_ids[u.of], u.n, u.address, split_part(u.address, '@', -1), u.organisation
        FROM unnest(p_recipient_of, p_recipients, p_recipient_organisations)
             WITH ORDINALITY AS u (of, address, organisation, n)
        WHERE p_ids[p_delivery_of[u.of]] = ANY (v_moved);
    END IF;
    IF cardinality(p_notice_ids) > 0 THEN
        PERFORM queue.enter('queue.notice',
            ARRAY(SELECT u.id FROM unnest(p_notice_of, p_notice_ids) AS u (of, id) WHERE p_ids[u.of] = ANY (v_moved)),
            p_notice_ids, p_notice_sessions, p_notice_days, p_notice_wrapped_keys, p_notice_commitments,
            p_notice_envelopes, p_notice_manifests, p_notice_sizes, p_notice_segments, p_notice_bodies,
            array_fill(''::text, ARRAY[cardinality(p_notice_ids)]),
            ARRAY(SELECT generate_series(1, cardinality(p_notice_ids))), p_notice_recipients,
            array_fill(NULL::uuid, ARRAY[cardinality(p_notice_ids)]));
    END IF;

    -- 3. Recipients leave their message; a message leaves only without any.
    DELETE FROM queue.recipient r
    USING (SELECT p_ids[p_delivery_of[x.of]] AS owner, x.address FROM unnest(p_recipient_of, p_recipients) AS x (of, address)
           UNION ALL
           SELECT p_ids[o.of], o.address
           FROM unnest(p_outcome_of, p_outcome_addresses, p_outcome_states) AS o (of, address, state)
           WHERE o.state <> 'held') h
    WHERE r.owner = h.owner AND r.address = h.address AND r.owner = ANY (v_moved);
    IF 'held' = ANY (p_outcome_states) THEN
        UPDATE queue.recipient r
        SET state = 'held', mandatory = r.mandatory OR position('no-method' IN coalesce(p_reasons[o.of], '')) > 0
        FROM unnest(p_outcome_of, p_outcome_addresses, p_outcome_states) AS o (of, address, state)
        WHERE o.state = 'held' AND r.owner = p_ids[o.of] AND r.address = o.address AND r.owner = ANY (v_moved);
    END IF;
    IF v_gone IS NOT NULL THEN
        IF EXISTS (SELECT 1 FROM queue.message m WHERE m.id = ANY (v_gone) AND m.segments > 0) THEN
            PERFORM set_config('synchronous_commit', 'on', true);
        END IF;
        SELECT r.owner INTO v_lost FROM queue.recipient r WHERE r.owner = ANY (v_gone) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'a recipient of message % has neither a delivery nor an outcome', v_lost
                USING ERRCODE = 'LL003';
        END IF;
        WITH m AS (
            DELETE FROM queue.message m WHERE m.id = ANY (v_gone)
            RETURNING m.id, m.session, m.day, m.wrapped_key, m.commitment
        )
        INSERT INTO queue.trace (message, at, session, day, wrapped_key, commitment, trace)
        SELECT m.id, statement_timestamp(), m.session, m.day, m.wrapped_key, m.commitment, nullif(u.trace, '')
        FROM m JOIN unnest(p_ids, p_traces) AS u (id, trace) ON u.id = m.id
        ON CONFLICT (message, at) DO NOTHING;
    END IF;

    -- 4. Those that stay are marked.
    IF v_gone IS NULL OR cardinality(v_gone) < cardinality(v_moved) THEN
        UPDATE queue.message m
        SET state = u.state, reason = nullif(u.reason, ''),
            released_by = CASE WHEN u.state = 'held' THEN NULL ELSE m.released_by END
        FROM unnest(p_ids, p_states, p_reasons) AS u (id, state, reason)
        WHERE m.id = u.id AND u.state <> 'gone' AND m.id = ANY (v_moved);
        INSERT INTO queue.trace (message, at, session, day, wrapped_key, commitment, trace)
        SELECT m.id, statement_timestamp(), m.session, m.day, m.wrapped_key, m.commitment, u.trace
        FROM unnest(p_ids, p_states, p_traces) AS u (id, state, trace) JOIN queue.message m ON m.id = u.id
        WHERE u.state <> 'gone' AND u.trace <> '' AND m.id = ANY (v_moved)
        ON CONFLICT (message, at) DO NOTHING;
    END IF;

    -- 5. The audit trail.
    PERFORM audit.write_many(array_agg(a.action), array_agg(a.object), array_agg(a.detail))
    FROM (SELECT 'queue.advance' AS action, u.id AS object,
                 jsonb_build_object('state', u.state, 'reason', nullif(u.reason, '')) AS detail
          FROM unnest(p_ids, p_states, p_reasons) AS u (id, state, reason) WHERE u.id = ANY (v_moved)
          UNION ALL
          SELECT 'queue.' || o.state, p_ids[o.of], jsonb_build_object('recipient', o.address)
          FROM unnest(p_outcome_of, p_outcome_addresses, p_outcome_states) AS o (of, address, state)
          WHERE p_ids[o.of] = ANY (v_moved)) a;
    RETURN QUERY SELECT unnest(v_moved);
END
$$;
ALTER FUNCTION queue.advance OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.advance FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.advance TO ll_flow;
