-- queue.traces: the sealed traces of one message, for a grant the keyholder has taken.
-- Who: ll_admin, with the token that asked for the grant (for its content or its trace).
-- Promises: each decision about the message, in order; within a minute of the taking, for the same session only.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.traces(p_token bytea, p_grant uuid)
RETURNS TABLE (message uuid, at timestamptz, session uuid, day date, wrapped_key bytea, commitment bytea, trace bytea)
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
    SELECT t.message, t.at, t.session, t.day, t.wrapped_key, t.commitment, t.trace
    FROM queue.open_grant g JOIN queue.trace t ON t.message = g.object AND t.trace IS NOT NULL
    WHERE g.id = p_grant AND g.session = a.session AND g.taken_at > statement_timestamp() - interval '1 minute'
    ORDER BY t.at;
END
$$;
ALTER FUNCTION queue.traces OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.traces FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.traces TO ll_admin;
