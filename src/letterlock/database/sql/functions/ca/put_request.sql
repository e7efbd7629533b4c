-- ca.put_request: what became of carrying a request out.
-- Who: ll_admin, with a token that may ca.change; ll_housekeeping.
-- Promises: 'done'; 'not-found' when it is neither due, waiting for its certificate, nor enrolling; 'denied'. tries grows when it stays
--   due. key, csr and issued are kept when null is given. Audited when the state changes.
-- Locks: the request's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.put_request(
    p_token bytea, p_id uuid, p_state text, p_reason text, p_due_at timestamptz, p_key_id uuid, p_csr bytea, p_issued uuid
)
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
    SELECT r.state INTO v_state FROM ca.request r WHERE r.id = p_id AND r.state IN ('due', 'certificate', 'enrolling') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    UPDATE ca.request r SET state = p_state, reason = p_reason, due_at = p_due_at, key_id = coalesce(p_key_id, r.key_id),
        csr = coalesce(p_csr, r.csr), issued = coalesce(p_issued, r.issued),
        tries = r.tries + CASE WHEN p_state = 'due' AND p_reason <> '' THEN 1 ELSE 0 END
    WHERE r.id = p_id;
    IF v_state <> p_state THEN
        PERFORM audit.write(a.principal, a.organisation, 'ca.put_request', p_id, true,
                            jsonb_build_object('state', p_state, 'issued', p_issued));
    END IF;
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.put_request OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.put_request FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.put_request TO ll_admin, ll_housekeeping;
