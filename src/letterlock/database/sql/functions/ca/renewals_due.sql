-- ca.renewals_due: certificates near their end, or of an authority that was revoked, that nothing newer replaces.
-- Who: ll_housekeeping.
-- Promises: of certificates with a key here, not revoked, not after within p_within, whose address has no newer one, no
--   open request and none of the last day that failed; at most p_max, the first to end first. warned: whether ca.warned was
--   said of it. One of an authority that was revoked has ended with it, and is due when that has a successor.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.renewals_due(p_within interval, p_max int)
RETURNS TABLE (id uuid, authority text, profile text, address text, der bytea, not_after timestamptz, warned boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT i.id, a.name, i.profile, i.address, i.der, e.ends, i.warned_at IS NOT NULL
    FROM ca.issued i JOIN ca.authority a ON a.id = i.authority
    CROSS JOIN LATERAL (SELECT least(i.not_after, a.revoked_at) AS ends) e
    WHERE e.ends < statement_timestamp() + p_within AND e.ends > statement_timestamp() - interval '30 days'
      AND i.key_id IS NOT NULL AND i.revoked_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM ca.issued n JOIN ca.authority b ON b.id = n.authority
                      WHERE n.address = i.address AND n.not_after > e.ends AND n.id <> i.id
                        AND n.revoked_at IS NULL AND b.revoked_at IS NULL)
      AND (a.revoked_at IS NULL OR EXISTS (SELECT 1 FROM ca.authority s WHERE s.name = a.name AND s.kind = 'issuing'
                                           AND s.organisation = a.organisation AND s.revoked_at IS NULL))
      AND NOT EXISTS (SELECT 1 FROM ca.request r WHERE r.address = i.address
                      AND (r.state IN ('due', 'approval', 'certificate', 'enrolling')
                           OR r.state IN ('failed', 'rejected') AND r.requested_at > statement_timestamp() - interval '1 day'))
    ORDER BY e.ends LIMIT p_max;
END
$$;
ALTER FUNCTION ca.renewals_due OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.renewals_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.renewals_due TO ll_housekeeping;
