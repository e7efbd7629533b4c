-- pki.read_candidates: the certificates kept for each address.
-- Who: fn_pki itself (candidates, explain_candidates).
-- Promises: at most 50 an address of those that were imported and 20 of those that were fetched, those valid longest first;
--   the expired too, for the trace says why not. Those that our own authority revoked are none, nor those whose owner does
--   not have the key yet. A fetched one is offered while its answer is good, and longer only when asking again failed or
--   has brought nothing for five seconds. capabilities, preferred: what its owner last said under a signature; null,
--   false: nothing.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.read_candidates(p_addresses text[])
RETURNS TABLE (address text, id uuid, der bytea, key_id uuid, capabilities text[], preferred boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT u.address, x.id, x.der, x.key_id, k.names, coalesce(k.preferred, false)
    FROM (SELECT DISTINCT q.address FROM unnest(p_addresses) AS q (address)) u
    CROSS JOIN LATERAL (
        (SELECT c.id, c.der, c.key_id, c.not_after FROM pki.address a JOIN pki.certificate c ON c.id = a.certificate
         WHERE a.address = u.address
           AND NOT EXISTS (SELECT 1 FROM ca.issued i WHERE i.id = c.id AND (i.revoked_at IS NOT NULL OR i.held))
         ORDER BY c.not_after DESC, c.id LIMIT 50)
        UNION ALL
        (SELECT f.id, f.der, NULL::uuid, f.not_after
         FROM pki.fetched_certificate f JOIN pki.wanted w ON w.digest = f.wanted
         WHERE f.address = u.address AND f.address <> ''
           AND (w.good_until > statement_timestamp() OR w.answer = 'failed'
                OR (w.open_since > w.answered_at AND w.open_since <= statement_timestamp() - interval '5 seconds'))
           AND NOT EXISTS (SELECT 1 FROM pki.certificate c WHERE c.fingerprint = f.fingerprint)
         ORDER BY f.not_after DESC, f.id LIMIT 20)) x
    LEFT JOIN pki.capabilities k ON k.certificate = x.id
    ORDER BY u.address, x.not_after DESC, x.id;
END
$$;
ALTER FUNCTION pki.read_candidates OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.read_candidates FROM PUBLIC;
