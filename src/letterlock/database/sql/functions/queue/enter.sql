-- queue.enter: messages enter the queue, with recipients, their place in the hot table, and an audit row each.
-- Who: fn_queue itself (accept, and the notices of advance and settle).
-- Promises: an id that is there, or was there and has left a trace, is skipped: entering twice is entering once.
--   p_only: enter no other ids (null: all). p_recipient_of: 1-based places in p_ids.
-- Locks: nothing but the new rows. Raises: LL001.
CREATE OR REPLACE FUNCTION queue.enter(
    p_action text, p_only uuid[],
    p_ids uuid[], p_sessions uuid[], p_days date[], p_wrapped_keys bytea[], p_commitments bytea[], p_envelopes bytea[],
    p_manifests bytea[], p_sizes bigint[], p_segments int[], p_bodies bytea[], p_senders text[],
    p_recipient_of int[], p_recipients text[], p_organisations uuid[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_new uuid[];
    v_details jsonb[];
BEGIN
    PERFORM queue.check_sessions(p_sessions, p_days);
    WITH fresh AS (
        INSERT INTO queue.message (id, session, day, wrapped_key, commitment, envelope, manifest, size, segments, body,
                                   sender, accepted_at)
        SELECT u.id, u.session, u.day, u.wrapped_key, u.commitment, u.envelope, u.manifest, u.size, u.segments, u.body,
               u.sender, statement_timestamp()
        FROM unnest(p_ids, p_sessions, p_days, p_wrapped_keys, p_commitments, p_envelopes, p_manifests, p_sizes,
                    p_segments, p_bodies, p_senders)
             AS u (id, session, day, wrapped_key, commitment, envelope, manifest, size, segments, body, sender)
        WHERE (p_only IS NULL OR u.id = ANY (p_only))
          AND NOT EXISTS (SELECT 1 FROM queue.trace t WHERE t.message = u.id)
        ON CONFLICT (id) DO NOTHING
        RETURNING id, size, sender
    ), due AS (
        INSERT INTO queue.due (id, stage, due_at, size)
        SELECT f.id, 1, statement_timestamp(), f.size FROM fresh f
    )
    SELECT array_agg(f.id), array_agg(jsonb_build_object('sender', f.sender, 'size', f.size))
    INTO v_new, v_details FROM fresh f;
    IF v_new IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO queue.recipient (owner, n, address, domain, organisation)
    SELECT p_ids[u.of], u.n, u.address, split_part(u.address, '@', -1), u.organisation
    FROM unnest(p_recipient_of, p_recipients, p_organisations) WITH ORDINALITY AS u (of, address, organisation, n)
    WHERE p_ids[u.of] = ANY (v_new);
    PERFORM audit.write_many(array_fill(p_action, ARRAY[cardinality(v_new)]), v_new, v_details);
END
$$;
ALTER FUNCTION queue.enter OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.enter FROM PUBLIC;
