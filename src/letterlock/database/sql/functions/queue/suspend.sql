-- queue.suspend: stop everything, because the database was restored from a copy: some of it has been delivered since.
-- Who: fn_keyholder only.
-- Promises: no lease and no grant of the copy is worth anything; every message is held and every delivery waits for
--   queue.retry, until an administrator has looked.
-- Locks: all rows of queue.due and queue.message. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.suspend() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    DELETE FROM queue.open_grant;
    UPDATE queue.due d SET lease = NULL, worker = NULL, due_at = '9999-12-31 00:00:00+00';
    UPDATE queue.message m SET state = 'held', reason = 'restored' WHERE m.state = 'received';
END
$$;
ALTER FUNCTION queue.suspend OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.suspend FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.suspend TO fn_keyholder;
