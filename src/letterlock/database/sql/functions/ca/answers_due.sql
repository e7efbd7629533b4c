-- ca.answers_due: certificates whose OCSP answer is to be made anew.
-- Who: ll_admin, with a token that may ca.read; ll_housekeeping.
-- Promises: at most p_max that have not expired, the most urgent first. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.answers_due(p_token bytea, p_max int)
RETURNS TABLE (id uuid, authority uuid, der bytea, revoked_at timestamptz, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (ca.allow(p_token, 'ca.read')).principal IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT i.id, i.authority, i.der, i.revoked_at, i.reason FROM ca.issued i
    WHERE i.answer_next <= statement_timestamp() AND i.not_after > statement_timestamp()
    ORDER BY i.answer_next, i.id LIMIT p_max;
END
$$;
ALTER FUNCTION ca.answers_due OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.answers_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.answers_due TO ll_admin, ll_housekeeping;
