-- queue.read_open: step two: the sealed content for a grant the keyholder has taken.
-- Who: ll_admin, with the token that asked for the grant.
-- Promises: the content columns of a message still held, with its newest trace; within a minute of the taking, for the same
--   session only. No row otherwise. Without the message key, which only the keyholder gives, they are noise.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.read_open(p_token bytea, p_grant uuid)
RETURNS TABLE (id uuid, session uuid, day date, wrapped_key bytea, commitment bytea, envelope bytea, manifest bytea,
               size bigint, segments int, body bytea, trace bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'queue.open');
    IF a.session IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT m.id, m.session, m.day, m.wrapped_key, m.commitment, m.envelope, m.manifest, m.size, m.segments, m.body,
           (SELECT t.trace FROM queue.trace t WHERE t.message = m.id AND t.trace IS NOT NULL ORDER BY t.at DESC LIMIT 1)
    FROM queue.open_grant g JOIN queue.message m ON m.id = g.object
    WHERE g.id = p_grant AND g.session = a.session AND g.purpose <> 'trace' AND m.state = 'held'
      AND g.taken_at > statement_timestamp() - interval '1 minute';
END
$$;
ALTER FUNCTION queue.read_open OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.read_open FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.read_open TO ll_admin;
