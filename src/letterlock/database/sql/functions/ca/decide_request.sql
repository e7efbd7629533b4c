-- ca.decide_request: a person says what becomes of a request.
-- Who: ll_admin, with a token that may ca.change.
-- Promises: 'done'; 'not-found'; 'no' when its state does not allow it; 'denied'. p_verdict: approve (a delayed one is due
--   now), retry (a failed or due one is due now, tries counted anew), reject (any open or failed one). Audited.
-- Locks: the request's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.decide_request(p_token bytea, p_id uuid, p_verdict text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
    v_state text;
BEGIN
    SELECT * INTO a FROM ca.allow(p_token, 'ca.change');
    IF a.principal IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT r.state INTO v_state FROM ca.request r WHERE r.id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    IF NOT (p_verdict = 'approve' AND v_state = 'approval' OR p_verdict = 'retry' AND v_state IN ('due', 'failed')
            OR p_verdict = 'reject' AND v_state IN ('due', 'approval', 'certificate', 'enrolling', 'failed')) THEN
        RETURN 'no';
    END IF;
    UPDATE ca.request r SET state = CASE p_verdict WHEN 'reject' THEN 'rejected' ELSE 'due' END, tries = 0, reason = '',
        due_at = statement_timestamp(), decided_by = a.principal, decided_at = statement_timestamp()
    WHERE r.id = p_id;
    PERFORM audit.write(a.principal, a.organisation, 'ca.decide_request', p_id, true, jsonb_build_object('verdict', p_verdict));
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.decide_request OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.decide_request FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.decide_request TO ll_admin;
