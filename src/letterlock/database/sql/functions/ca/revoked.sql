-- ca.revoked: what the next list of revocations of an authority says.
-- Who: ll_admin, with a token that may ca.read; ll_housekeeping.
-- Promises: every revoked certificate, of persons and of authorities below it, that has not expired more than a day ago (RFC 5280 3.3: it stays at least for one list
--   after its end). A denial is audited, warns LL002 and answers no row. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.revoked(p_token bytea, p_authority uuid)
RETURNS TABLE (serial bytea, revoked_at timestamptz, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (ca.allow(p_token, 'ca.read')).principal IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT i.serial, i.revoked_at, i.reason FROM ca.issued i
    WHERE i.authority = p_authority AND i.revoked_at IS NOT NULL AND i.not_after > statement_timestamp() - interval '8 days'
    UNION ALL
    SELECT b.serial, b.revoked_at, b.reason FROM ca.authority b
    WHERE b.parent = p_authority AND b.revoked_at IS NOT NULL AND b.not_after > statement_timestamp() - interval '8 days'
    ORDER BY 1;
END
$$;
ALTER FUNCTION ca.revoked OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.revoked FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.revoked TO ll_admin, ll_housekeeping;
