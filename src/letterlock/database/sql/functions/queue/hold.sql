-- queue.hold: stop a message.
-- Who: ll_admin, with a token that may queue.change.
-- Promises: 'done': state held until hold_life (a setting, in seconds; 5 days when unset) is over, and whoever had leased it
--   has lost it; what flow had handed to delivery already may still be sent, and then leaves with its audit row. 'wrong-state': held already, or a delivery (too late). 'not-found', 'denied'. Audited, refusals too.
-- Locks: the message's due row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.hold(p_token bytea, p_id uuid, p_reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_answer text;
    v_state text;
    v_life interval;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'queue.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    PERFORM 1 FROM queue.due d WHERE d.id = p_id FOR UPDATE;
    SELECT m.state INTO v_state FROM queue.message m WHERE m.id = p_id;
    IF v_state = 'received' THEN
        SELECT make_interval(secs => s.value::text::double precision) INTO v_life FROM policy.setting s
        WHERE s.level = 'gateway' AND s.scope = '' AND s.name = 'hold_life' AND jsonb_typeof(s.value) = 'number';
        UPDATE queue.due d
        SET lease = NULL, worker = NULL, due_at = statement_timestamp() + coalesce(v_life, interval '5 days')
        WHERE d.id = p_id;
        UPDATE queue.message m SET state = 'held', reason = p_reason, released_by = NULL WHERE m.id = p_id;
        UPDATE queue.recipient r SET state = 'held' WHERE r.owner = p_id;
        v_answer := 'done';
    ELSIF v_state IS NOT NULL OR EXISTS (SELECT 1 FROM queue.delivery y WHERE y.id = p_id) THEN
        v_answer := 'wrong-state';
    ELSE
        v_answer := 'not-found';
    END IF;
    PERFORM audit.write(a.principal, a.organisation, 'queue.hold', p_id, v_answer = 'done',
                        jsonb_build_object('answer', v_answer, 'reason', p_reason));
    RETURN v_answer;
END
$$;
ALTER FUNCTION queue.hold OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.hold FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.hold TO ll_admin;
