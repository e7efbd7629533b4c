-- ca.ending: certificates with a key here that end soon and that nothing newer replaces.
-- Who: ll_housekeeping.
-- Promises: of our own addresses and domains, wherever the certificate came from, at p_at ending within p_within, or ended in the day before;
--  at most p_max, the first to end first. handler: by which it came, '' when a person brought it; profile, authority and
--  name: of that request. open: the request under way for the address, with its state; null: none. failed_at: when
--   the last one was asked for that failed or was rejected. warned: the steps that
--  were warned of. Revoked ones are left out. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.ending(p_at timestamptz, p_within interval, p_max int)
RETURNS TABLE (id uuid, address text, not_after timestamptz, handler text, profile text, authority text, name text,
               organisation uuid, open uuid, open_state text, failed_at timestamptz, warned int[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.id, a.address, c.not_after,
           CASE WHEN i.id IS NOT NULL THEN 'builtin' ELSE coalesce(r.handler, '') END, coalesce(i.profile, r.profile, ''),
           coalesce(r.authority, ''), coalesce(r.name, ''), r.organisation, o.id, o.state,
           (SELECT max(q.requested_at) FROM ca.request q WHERE q.address = a.address AND q.state IN ('failed', 'rejected')),
           ARRAY(SELECT DISTINCT w.days FROM ca.warning w WHERE w.certificate = c.id)
    FROM pki.certificate c JOIN pki.address a ON a.certificate = c.id
    LEFT JOIN ca.issued i ON i.certificate = c.id
    LEFT JOIN LATERAL (SELECT q.handler, q.profile, q.authority, q.name, q.organisation FROM ca.request q WHERE q.issued = c.id
                       ORDER BY q.requested_at DESC LIMIT 1) r ON true
    LEFT JOIN LATERAL (SELECT q.id, q.state FROM ca.request q WHERE q.address = a.address
                       AND q.state IN ('due', 'approval', 'certificate', 'enrolling') LIMIT 1) o ON true
    WHERE c.not_after < p_at + p_within AND c.not_after > p_at - interval '1 day'
      AND c.key_id IS NOT NULL AND NOT c.is_ca AND ca.is_ours(a.address) AND i.revoked_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM pki.address b JOIN pki.certificate n ON n.id = b.certificate
                      LEFT JOIN ca.issued x ON x.certificate = n.id
                      WHERE b.address = a.address AND n.id <> c.id AND n.key_id IS NOT NULL AND n.not_after > c.not_after
                        AND x.revoked_at IS NULL)
    ORDER BY c.not_after, c.id, a.address LIMIT p_max;
END
$$;
ALTER FUNCTION ca.ending OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.ending FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.ending TO ll_housekeeping;
