-- keyholder.check_leases: what of a batch is leased now, by that role, under that lease; with what its keys are made from.
-- Who: ll_keyholder, which knows by a process's key token which role it is.
-- Promises: a row for each id whose lease is p_lease and not over, of the stage that belongs to p_role (ll_flow: messages,
--   ll_deliver: deliveries); no row for another. No row when its epoch is destroyed.
-- Locks: nothing. Raises: nothing of its own. (stage + 0: no index on stage and time, which leads through all that waits)
CREATE OR REPLACE FUNCTION keyholder.check_leases(p_role text, p_lease uuid, p_ids uuid[])
RETURNS TABLE (id uuid, session uuid, epoch uuid, day date, class text, session_wrapped bytea,
               session_not_after timestamptz, session_role text, wrapped_key bytea, commitment bytea, envelope bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF p_role = 'll_flow' THEN
        RETURN QUERY
        SELECT m.id, m.session, s.epoch, m.day, s.class, s.wrapped_key, s.not_after, s.role, m.wrapped_key,
               m.commitment, m.envelope
        FROM queue.message m JOIN keyholder.session s ON s.id = m.session
        WHERE m.id = ANY (p_ids) AND s.wrapped_key IS NOT NULL
          AND (SELECT d.stage = 1 AND d.lease = p_lease AND d.due_at > statement_timestamp()
               FROM queue.due d WHERE d.id = m.id);
    ELSIF p_role = 'll_deliver' THEN
        RETURN QUERY
        SELECT y.id, y.session, s.epoch, y.day, s.class, s.wrapped_key, s.not_after, s.role, y.wrapped_key,
               y.commitment, y.envelope
        FROM queue.delivery y JOIN keyholder.session s ON s.id = y.session
        WHERE y.id = ANY (p_ids) AND s.wrapped_key IS NOT NULL
          AND (SELECT d.stage = 2 AND d.lease = p_lease AND d.due_at > statement_timestamp()
               FROM queue.due d WHERE d.id = y.id);
    END IF;
END
$$;
ALTER FUNCTION keyholder.check_leases OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.check_leases FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.check_leases TO ll_keyholder;
