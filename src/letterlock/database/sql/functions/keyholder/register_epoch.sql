-- keyholder.register_epoch: an epoch exists from now on.
-- Who: ll_keyholder.
-- Promises: 'done', or 'already' when the id is known; durable at commit. day: after which it may be destroyed.
-- Locks: nothing. Raises: 23514 for an unknown class.
CREATE OR REPLACE FUNCTION keyholder.register_epoch(p_id uuid, p_class text, p_day date) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    INSERT INTO keyholder.epoch (id, class, day, registered_at) VALUES (p_id, p_class, p_day, statement_timestamp())
    ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'already';
    END IF;
    PERFORM audit.write(NULL, NULL, 'keyholder.epoch', p_id, true, jsonb_build_object('class', p_class, 'day', p_day));
    RETURN 'done';
END
$$;
ALTER FUNCTION keyholder.register_epoch OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.register_epoch FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.register_epoch TO ll_keyholder;
