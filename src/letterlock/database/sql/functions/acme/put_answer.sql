-- acme.put_answer: what an ACME server said, or why it said nothing (p_fault; '' for none).
-- Who: ll_fetch.
-- Promises: true when the lease still held; housekeeping's turn then, at once. Locks: the enrolment's row. Raises: nothing of
--  its own.
CREATE OR REPLACE FUNCTION acme.put_answer(p_request uuid, p_lease uuid, p_code int, p_fields jsonb, p_answer bytea, p_fault text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE acme.enrolment e SET method = '', lease = NULL, due_at = statement_timestamp(), code = p_code, fields = p_fields,
        answer = p_answer, fault = nullif(p_fault, '')
    WHERE e.request = p_request AND e.lease = p_lease AND e.method <> '';
    RETURN FOUND;
END
$$;
ALTER FUNCTION acme.put_answer OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.put_answer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.put_answer TO ll_fetch;
