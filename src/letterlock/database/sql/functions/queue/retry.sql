-- queue.retry: try now what waits for its time.
-- Who: ll_admin, with a token that may queue.change.
-- Promises: 'done': due now, and its domain is no longer in back-off. 'wrong-state': leased (somebody is at it), or held
--   (release it). 'not-found', 'denied'. Audited, refusals too.
-- Locks: the due row, the back-off row of its domain. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.retry(p_token bytea, p_id uuid, p_reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    d record;
    v_answer text := 'done';
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'queue.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT x.lease, x.due_at, x.domain INTO d FROM queue.due x WHERE x.id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        v_answer := 'not-found';
    ELSIF (d.lease IS NOT NULL AND d.due_at > statement_timestamp())
          OR EXISTS (SELECT 1 FROM queue.message m WHERE m.id = p_id AND m.state = 'held') THEN
        v_answer := 'wrong-state';
    ELSE
        UPDATE queue.due x SET lease = NULL, worker = NULL, due_at = statement_timestamp() WHERE x.id = p_id;
        DELETE FROM queue.backoff b WHERE b.domain = d.domain;
    END IF;
    PERFORM audit.write(a.principal, a.organisation, 'queue.retry', p_id, v_answer = 'done',
                        jsonb_build_object('answer', v_answer, 'reason', p_reason));
    RETURN v_answer;
END
$$;
ALTER FUNCTION queue.retry OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.retry FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.retry TO ll_admin;
