-- keyholder.mark_destroyed: an epoch's key is gone.
-- Who: ll_keyholder, after it has destroyed the key file, and again at start for what it finds missing.
-- Promises: 'done', 'already' or 'not-found'; the wrapped session keys of the epoch leave with the same commit, durably.
-- Locks: the epoch's row, its sessions. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.mark_destroyed(p_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v record;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT e.class, e.day, e.destroyed_at INTO v FROM keyholder.epoch e WHERE e.id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    IF v.destroyed_at IS NOT NULL THEN
        RETURN 'already';
    END IF;
    UPDATE keyholder.epoch e SET destroyed_at = statement_timestamp() WHERE e.id = p_id;
    UPDATE keyholder.session s SET wrapped_key = NULL, void_at = coalesce(s.void_at, statement_timestamp())
    WHERE s.epoch = p_id;
    PERFORM audit.write(NULL, NULL, 'keyholder.destroyed', p_id, true,
                        jsonb_build_object('class', v.class, 'day', v.day));
    RETURN 'done';
END
$$;
ALTER FUNCTION keyholder.mark_destroyed OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.mark_destroyed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.mark_destroyed TO ll_keyholder;
