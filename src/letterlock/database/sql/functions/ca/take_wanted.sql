-- ca.take_wanted: the addresses that flow wants a certificate for; they are forgotten here.
-- Who: ll_housekeeping.
-- Promises: each with every setting that is set for it, so that housekeeping sees again whether and how to ask; only
--   addresses of an internal domain that have no living certificate of ours or by ACME with a key and had no request in the last day.
-- Locks: the rows. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.take_wanted(p_max int)
RETURNS TABLE (address text, name text, value jsonb, level text, origin text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH gone AS (
        DELETE FROM ca.wanted w WHERE w.address IN (
            SELECT x.address FROM ca.wanted x ORDER BY x.wanted_at LIMIT p_max FOR UPDATE SKIP LOCKED)
        RETURNING w.address
    ), fit AS (
        SELECT g.address FROM gone g
        WHERE ca.is_ours(g.address)
          AND NOT EXISTS (SELECT 1 FROM ca.issued i WHERE i.address = g.address AND i.key_id IS NOT NULL
                          AND i.revoked_at IS NULL AND i.not_after > statement_timestamp())
          AND NOT EXISTS (SELECT 1 FROM ca.request r JOIN pki.certificate c ON c.id = r.issued
                          WHERE r.address = g.address AND r.handler = 'acme' AND r.state = 'done'
                            AND c.not_after > statement_timestamp())
          AND NOT EXISTS (SELECT 1 FROM ca.request r WHERE r.address = g.address
                          AND r.requested_at > statement_timestamp() - interval '1 day')
    )
    SELECT f.address, p.name, p.value, p.level, p.origin FROM fit f
    CROSS JOIN LATERAL policy.resolve(ARRAY[f.address]) p;
END
$$;
ALTER FUNCTION ca.take_wanted OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.take_wanted FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.take_wanted TO ll_housekeeping;
