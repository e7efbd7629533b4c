-- queue.release: let a held message go on.
-- Who: ll_admin, with a token that may queue.change.
-- Promises: 'done': state received, due now, released_by says who; it is decided anew, and mandatory encryption stays
--   mandatory. Grants to open it are worthless from the commit on. 'wrong-state': not held. 'not-found', 'denied'.
--   Audited, refusals too.
-- Locks: the message's due row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.release(p_token bytea, p_id uuid, p_reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_answer text;
    v_state text;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'queue.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    PERFORM 1 FROM queue.due d WHERE d.id = p_id FOR UPDATE;
    SELECT m.state INTO v_state FROM queue.message m WHERE m.id = p_id;
    IF v_state = 'held' THEN
        UPDATE queue.due d SET lease = NULL, worker = NULL, due_at = statement_timestamp() WHERE d.id = p_id;
        UPDATE queue.message m SET state = 'received', released_by = a.principal WHERE m.id = p_id;
        UPDATE queue.recipient r SET state = 'pending' WHERE r.owner = p_id;
        v_answer := 'done';
    ELSIF v_state IS NOT NULL OR EXISTS (SELECT 1 FROM queue.delivery y WHERE y.id = p_id) THEN
        v_answer := 'wrong-state';
    ELSE
        v_answer := 'not-found';
    END IF;
    PERFORM audit.write(a.principal, a.organisation, 'queue.release', p_id, v_answer = 'done',
                        jsonb_build_object('answer', v_answer, 'reason', p_reason));
    RETURN v_answer;
END
$$;
ALTER FUNCTION queue.release OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.release FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.release TO ll_admin;
