-- pki.exports_untold: private keys that were given out, and who is still to be told.
-- Who: ll_housekeeping.
-- Promises: at most p_max, the oldest first. people: the key's owners whose domain is ours; postmasters: of these domains, or
--   when none is ours, of the organisation's: as set, else postmaster at the domain (RFC 5321 4.5.1).
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.exports_untold(p_max int)
RETURNS TABLE (id uuid, organisation uuid, principal text, reason text, addresses text[], exported_at timestamptz,
               people text[], postmasters text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.id, e.organisation, e.principal, e.reason, e.addresses, e.exported_at, o.people,
           ARRAY(SELECT DISTINCT coalesce((SELECT r.value #>> '{}' FROM policy.resolve(ARRAY['@' || d.name]) r
                                           WHERE r.name = 'postmaster'), 'postmaster@' || d.name)
                 FROM policy.domain d
                 WHERE d.internal AND left(d.name, 1) <> '*'
                   AND CASE WHEN cardinality(o.people) = 0 THEN d.organisation = e.organisation
                            ELSE d.name IN (SELECT split_part(p.address, '@', -1) FROM unnest(o.people) AS p (address)) END)
    FROM (SELECT x.* FROM pki.key_export x WHERE x.told_at IS NULL ORDER BY x.exported_at LIMIT p_max) e
         CROSS JOIN LATERAL (
             SELECT ARRAY(SELECT u.address FROM unnest(e.addresses) AS u (address)
                          WHERE EXISTS (SELECT 1 FROM policy.domain d
                                        WHERE d.internal AND d.name = split_part(u.address, '@', -1))) AS people) o;
END
$$;
ALTER FUNCTION pki.exports_untold OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.exports_untold FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.exports_untold TO ll_housekeeping;
