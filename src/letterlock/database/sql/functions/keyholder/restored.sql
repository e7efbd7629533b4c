-- keyholder.restored: this database is a restored copy: nothing that lived in the copy may live on.
-- Who: ll_keyholder.
-- Promises: sealing sessions, people's sessions, grants and leases are void; the queue waits for an administrator. What was
--   sealed stays readable. Audited, durable at commit.
-- Locks: much; before anybody is served. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.restored() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE keyholder.session s SET void_at = statement_timestamp() WHERE s.void_at IS NULL;
    PERFORM accounts.end_all();
    PERFORM queue.suspend();
    PERFORM audit.write(NULL, NULL, 'keyholder.restored', NULL, true, NULL);
END
$$;
ALTER FUNCTION keyholder.restored OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.restored FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.restored TO ll_keyholder;
