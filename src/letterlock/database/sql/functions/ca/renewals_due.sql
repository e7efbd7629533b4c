-- ca.renewals_due: certificates near their end that nothing newer replaces.
-- Who: ll_housekeeping.
-- Promises: of certificates with a key here, not revoked, not after within p_within, whose address has no newer one, no
--   open request and none of the last day that failed; at most p_max, the first to end first. warned: whether ca.warned was said of it.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.renewals_due(p_within interval, p_max int)
RETURNS TABLE (id uuid, authority text, profile text, address text, der bytea, not_after timestamptz, warned boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT i.id, a.name, i.profile, i.address, i.der, i.not_after, i.warned_at IS NOT NULL
    FROM ca.issued i JOIN ca.authority a ON a.id = i.authority
    WHERE i.not_after < statement_timestamp() + p_within AND i.not_after > statement_timestamp() - interval '30 days'
      AND i.key_id IS NOT NULL AND i.revoked_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM ca.issued n WHERE n.address = i.address AND n.not_after > i.not_after
                      AND n.revoked_at IS NULL)
      AND NOT EXISTS (SELECT 1 FROM ca.request r WHERE r.address = i.address
                      AND (r.state IN ('due', 'approval', 'certificate', 'enrolling')
                           OR r.state IN ('failed', 'rejected') AND r.requested_at > statement_timestamp() - interval '1 day'))
    ORDER BY i.not_after LIMIT p_max;
END
$$;
ALTER FUNCTION ca.renewals_due OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.renewals_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.renewals_due TO ll_housekeeping;
