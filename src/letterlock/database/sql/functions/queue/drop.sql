-- queue.drop: remove a message or a delivery; nobody is told.
-- Who: ll_admin, with a token that may queue.change.
-- Promises: 'done': its rows are gone, whoever had leased it has lost it, and the same id is not accepted again; a segment
--   file is swept later. 'not-found', 'denied'. Audited with sender and recipients, refusals too.
-- Locks: the due row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.drop(p_token bytea, p_id uuid, p_reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_answer text := 'not-found';
    v_recipients text[];
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'queue.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    PERFORM 1 FROM queue.due d WHERE d.id = p_id FOR UPDATE;
    v_recipients := ARRAY(SELECT r.address FROM queue.recipient r WHERE r.owner = p_id ORDER BY r.n);
    WITH m AS (
        DELETE FROM queue.message m WHERE m.id = p_id RETURNING m.id, m.session, m.day, m.wrapped_key, m.commitment
    )
    INSERT INTO queue.trace (message, at, session, day, wrapped_key, commitment)
    SELECT m.id, statement_timestamp(), m.session, m.day, m.wrapped_key, m.commitment FROM m;
    IF FOUND THEN
        v_answer := 'done';
    END IF;
    DELETE FROM queue.delivery y WHERE y.id = p_id;
    IF FOUND THEN
        v_answer := 'done';
    END IF;
    DELETE FROM queue.recipient r WHERE r.owner = p_id;
    DELETE FROM queue.due d WHERE d.id = p_id;
    PERFORM audit.write(a.principal, a.organisation, 'queue.drop', p_id, v_answer = 'done',
                        jsonb_build_object('answer', v_answer, 'reason', p_reason, 'recipients', v_recipients));
    RETURN v_answer;
END
$$;
ALTER FUNCTION queue.drop OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.drop FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.drop TO ll_admin;
