-- keyholder.note_generation: the ring has come this far.
-- Who: ll_keyholder.
-- Promises: true, durable at commit; false when the number is smaller than the one known, which then stays.
-- Locks: the one row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.note_generation(p_generation bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE keyholder.ring r SET generation = p_generation WHERE r.generation <= p_generation;
    RETURN FOUND;
END
$$;
ALTER FUNCTION keyholder.note_generation OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.note_generation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.note_generation TO ll_keyholder;
