-- keyholder.take: use a grant, once, before any key is given out.
-- Who: ll_keyholder, with the token its client brought.
-- Promises: one statement checks again that the grant is at most ten seconds old and not used, that its session is the token's,
--   alive and bound to the role that asked, and that the object is still held (for purpose 'trace': has a trace); and marks it
--   used. The row is there only once, and only when all held; durable at commit. Taken and refused are both audited.
-- Locks: the grant's row: of fifty at once, one gets it. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.take(p_grant uuid, p_token bytea)
RETURNS TABLE (id uuid, session uuid, epoch uuid, day date, class text, session_wrapped bytea,
               session_not_after timestamptz, session_role text, wrapped_key bytea, commitment bytea, envelope bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    g record;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE queue.open_grant o SET taken_at = statement_timestamp()
    FROM accounts.session a
    WHERE o.id = p_grant AND o.taken_at IS NULL AND o.made_at > statement_timestamp() - interval '10 seconds'
      AND a.id = o.session AND a.token_hash = sha256(p_token) AND a.role = o.role AND a.ended_at IS NULL
      AND a.expires_at > statement_timestamp() AND a.used_at + a.idle > statement_timestamp()
      AND 'queue.open' = ANY (a.permissions)
      AND CASE o.purpose
          WHEN 'trace' THEN EXISTS (SELECT 1 FROM queue.trace t WHERE t.message = o.object)
          ELSE EXISTS (SELECT 1 FROM queue.message m WHERE m.id = o.object AND m.state = 'held') END
    RETURNING o.object, o.purpose, a.principal, a.organisation INTO g;
    IF NOT FOUND THEN
        PERFORM audit.write(NULL, NULL, 'keyholder.take', p_grant, false, NULL);
        RETURN;
    END IF;
    PERFORM audit.write(g.principal, g.organisation, 'keyholder.take', g.object, true,
                        jsonb_build_object('grant', p_grant, 'purpose', g.purpose));
    IF g.purpose = 'trace' THEN
        RETURN QUERY
        SELECT t.message, t.session, s.epoch, t.day, s.class, s.wrapped_key, s.not_after, s.role, t.wrapped_key,
               t.commitment, ''::bytea
        FROM queue.trace t JOIN keyholder.session s ON s.id = t.session
        WHERE t.message = g.object AND s.wrapped_key IS NOT NULL ORDER BY t.at DESC LIMIT 1;
    ELSE
        RETURN QUERY
        SELECT m.id, m.session, s.epoch, m.day, s.class, s.wrapped_key, s.not_after, s.role, m.wrapped_key,
               m.commitment, m.envelope
        FROM queue.message m JOIN keyholder.session s ON s.id = m.session
        WHERE m.id = g.object AND s.wrapped_key IS NOT NULL;
    END IF;
END
$$;
ALTER FUNCTION keyholder.take OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.take FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.take TO ll_keyholder;
