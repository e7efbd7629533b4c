-- queue.settle_handed: what flow handed over finished and the next hop took: the message leaves, as by advance and settle in one.
-- Who: ll_deliver.
-- Promises: one transaction for all, durable at commit whatever the caller's synchronous_commit. Not fenced by a lease: that the
--   next hop took it is a fact, whoever has leased, held or released the message since. The named recipient leaves; a message
--   without another one leaves with it, and its trace stays. Twice is once. Returned: the ids of messages that left.
--   traces: sealed under the message's key; '' for none. One audit row a recipient (with the reply).
-- Locks: the due rows of the batch. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.settle_handed(
    p_ids uuid[], p_addresses text[], p_replies text[], p_traces bytea[]
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_here uuid[];
    v_gone uuid[];
    v_owners uuid[];
    v_details jsonb[];
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    -- LATERAL with a lock is looked up id by id, whatever the planner believes (see queue.settle)
    SELECT array_agg(x.id) INTO v_here
    FROM unnest(p_ids) AS u (id),
         LATERAL (SELECT d.id FROM queue.due d WHERE d.id = u.id AND d.stage + 0 = 1 FOR UPDATE) x;
    IF v_here IS NULL THEN
        RETURN;
    END IF;

    WITH taken AS (
        DELETE FROM queue.recipient r USING unnest(p_ids, p_addresses) AS u (id, address)
        WHERE r.owner = u.id AND r.address = u.address AND r.owner = ANY (v_here)
        RETURNING r.owner, r.address
    )
    SELECT array_agg(t.owner), array_agg(jsonb_build_object('recipient', t.address, 'reply', u.reply))
    INTO v_owners, v_details
    FROM taken t JOIN unnest(p_ids, p_addresses, p_replies) AS u (id, address, reply)
      ON u.id = t.owner AND u.address = t.address;
    IF v_owners IS NOT NULL THEN
        PERFORM audit.write_many(array_fill('queue.delivered'::text, ARRAY[cardinality(v_owners)]), v_owners, v_details);
    END IF;

    SELECT array_agg(h.id) INTO v_gone FROM unnest(v_here) AS h (id)
    WHERE NOT EXISTS (SELECT 1 FROM queue.recipient r WHERE r.owner = h.id);
    IF v_gone IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM queue.due d WHERE d.id = ANY (v_gone);
    WITH m AS (
        DELETE FROM queue.message m WHERE m.id = ANY (v_gone)
        RETURNING m.id, m.session, m.day, m.wrapped_key, m.commitment
    )
    INSERT INTO queue.trace (message, at, session, day, wrapped_key, commitment, trace)
    SELECT m.id, statement_timestamp(), m.session, m.day, m.wrapped_key, m.commitment, nullif(u.trace, '')
    FROM m JOIN unnest(p_ids, p_traces) AS u (id, trace) ON u.id = m.id
    ON CONFLICT (message, at) DO NOTHING;
    RETURN QUERY SELECT unnest(v_gone);
END
$$;
ALTER FUNCTION queue.settle_handed OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.settle_handed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.settle_handed TO ll_deliver;
