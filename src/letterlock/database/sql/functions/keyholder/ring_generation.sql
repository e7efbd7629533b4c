-- keyholder.ring_generation: how far the key ring had come when the database last heard of it.
-- Who: ll_keyholder. A ring that is older than this is an old copy and must not serve.
-- Promises: 0 before the first. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.ring_generation() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v bigint;
BEGIN
    SELECT r.generation INTO v FROM keyholder.ring r;
    RETURN v;
END
$$;
ALTER FUNCTION keyholder.ring_generation OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.ring_generation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.ring_generation TO ll_keyholder;
