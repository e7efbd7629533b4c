-- keyholder.open_session: a sealing session exists from now on.
-- Who: ll_keyholder.
-- Promises: 'done'; 'no-epoch' when the epoch is unknown, destroyed or of another class; durable at commit. p_role: the login
--   role that may seal with it (ll_receive, ll_flow, ll_deliver); p_not_after: at most 71 minutes from now.
-- Locks: nothing. Raises: 23505 when the id is known, 23514 for a role that is none.
CREATE OR REPLACE FUNCTION keyholder.open_session(
    p_id uuid, p_epoch uuid, p_class text, p_role text, p_not_after timestamptz, p_wrapped_key bytea
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    IF NOT EXISTS (SELECT 1 FROM keyholder.epoch e
                   WHERE e.id = p_epoch AND e.class = p_class AND e.destroyed_at IS NULL) THEN
        RETURN 'no-epoch';
    END IF;
    INSERT INTO keyholder.session (id, epoch, class, role, opened_at, not_after, wrapped_key)
    VALUES (p_id, p_epoch, p_class, p_role, statement_timestamp(),
            least(p_not_after, statement_timestamp() + interval '71 minutes'), p_wrapped_key);
    PERFORM audit.write(NULL, NULL, 'keyholder.session', p_id, true,
                        jsonb_build_object('role', p_role, 'epoch', p_epoch));
    RETURN 'done';
END
$$;
ALTER FUNCTION keyholder.open_session OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.open_session FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.open_session TO ll_keyholder;
