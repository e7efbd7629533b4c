-- ca.requests: requests for certificates.
-- Who: ll_admin, with a token that may ca.read; ll_housekeeping.
-- Promises: p_id null: the open and failed ones (p_all: every one), the oldest first, at most p_max; p_due: those due now
--   only. A denial is audited, warns LL002 and answers no row. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.requests(p_token bytea, p_id uuid, p_due boolean, p_all boolean, p_max int)
RETURNS TABLE (id uuid, organisation uuid, handler text, authority text, profile text, address text, name text, source text,
               state text, reason text, tries int, due_at timestamptz, key_id uuid, csr bytea, issued uuid,
               requested_by text, requested_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (ca.allow(p_token, 'ca.read')).principal IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT r.id, r.organisation, r.handler, r.authority, r.profile, r.address, r.name, r.source, r.state, r.reason, r.tries,
           r.due_at, r.key_id, r.csr, r.issued, r.requested_by, r.requested_at
    FROM ca.request r
    WHERE CASE WHEN p_id IS NOT NULL THEN r.id = p_id
               WHEN p_due THEN r.state = 'due' AND r.due_at <= statement_timestamp()
               ELSE p_all OR r.state NOT IN ('done', 'rejected') END
    ORDER BY r.requested_at, r.id LIMIT p_max;
END
$$;
ALTER FUNCTION ca.requests OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.requests FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.requests TO ll_admin, ll_housekeeping;
