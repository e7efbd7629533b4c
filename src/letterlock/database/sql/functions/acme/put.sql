-- acme.put: an enrolment has come so far.
-- Who: ll_housekeeping.
-- Promises: 'done'; 'stale' when p_step is not its step or its request is not enrolling any more. What came is forgotten; with a
--  method the fetch station has something to send. The request shows p_reason and p_due_at; with state failed it has failed,
--  audited. Locks: both rows. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION acme.put(
    p_request uuid, p_step int, p_state text, p_body jsonb, p_due_at timestamptz, p_reason text, p_challenger text,
    p_token_part text, p_method text, p_url text, p_kind text, p_asked bytea
)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM ca.request r WHERE r.id = p_request AND r.state = 'enrolling' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'stale';
    END IF;
    UPDATE acme.enrolment e SET state = p_state, body = p_body, step = e.step + 1, due_at = p_due_at,
        challenger = p_challenger, token = p_token_part, method = p_method, url = p_url, kind = p_kind, asked = p_asked,
        answers = CASE WHEN p_token_part = e.token THEN e.answers ELSE '{}' END,
        answered_at = CASE WHEN p_token_part = e.token THEN e.answered_at END,
        lease = NULL, fetch_at = statement_timestamp(), code = NULL, fields = NULL, answer = NULL, fault = NULL
    WHERE e.request = p_request AND e.step = p_step;
    IF NOT FOUND THEN
        RETURN 'stale';
    END IF;
    UPDATE ca.request r SET reason = p_reason, due_at = p_due_at, state = CASE p_state WHEN 'failed' THEN 'failed' ELSE r.state END
    WHERE r.id = p_request;
    IF p_state = 'failed' THEN
        PERFORM audit.write('housekeeping', NULL, 'acme.put', p_request, true, jsonb_build_object('state', 'failed'));
    END IF;
    RETURN 'done';
END
$$;
ALTER FUNCTION acme.put OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.put FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.put TO ll_housekeeping;
