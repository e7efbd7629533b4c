-- keyholder.clock: the database's time, to be compared with the keyholder's own before anything is destroyed.
-- Who: ll_keyholder.
-- Promises: the time of day now, not that of the statement's start. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.clock() RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN clock_timestamp();
END
$$;
ALTER FUNCTION keyholder.clock OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.clock FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.clock TO ll_keyholder;
