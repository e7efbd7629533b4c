-- acme.answer: a challenge mail is being replied to.
-- Who: ll_flow, before the reply enters the queue.
-- Promises: 'done', also when this very mail (p_digest) was noted before; 'no' when the enrolment does not wait for it any more or
--  five others were answered. It is housekeeping's turn then, at once. Audited.
--  Locks: the enrolment's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION acme.answer(p_request uuid, p_digest bytea)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    e record;
BEGIN
    SELECT e.answers, e.token INTO e FROM acme.enrolment e JOIN ca.request r ON r.id = e.request
    WHERE e.request = p_request AND r.state = 'enrolling' AND e.token <> '' AND e.state IN ('challenge', 'proving')
    FOR UPDATE OF e;
    IF NOT FOUND THEN
        RETURN 'no';
    END IF;
    IF p_digest = ANY (e.answers) THEN
        RETURN 'done';
    END IF;
    IF cardinality(e.answers) >= 5 THEN
        RETURN 'no';
    END IF;
    UPDATE acme.enrolment x SET answers = x.answers || p_digest, answered_at = coalesce(x.answered_at, statement_timestamp()),
        due_at = CASE x.state WHEN 'challenge' THEN statement_timestamp() ELSE x.due_at END
    WHERE x.request = p_request;
    PERFORM audit.write(NULL, NULL, 'acme.answer', p_request, true, jsonb_build_object('sha256', encode(p_digest, 'hex')));
    RETURN 'done';
END
$$;
ALTER FUNCTION acme.answer OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.answer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.answer TO ll_flow;
