-- pki.read_crls: the CRLs that were fetched and are not over, and those our own authorities published last.
-- Who: fn_pki itself (crls, explain_crls).
-- Promises: all that are wanted or our own, of these issuers (Certificate.subject_key; null: of all), those of no next_update or one not
--   longer ago than 30 days. der is null for those whose fingerprint stands in p_known, and for those for which there was no
--   room: of the others, the newest first, come as many as fit into p_most octets, and always one; who wants more asks again.
--   Unjudged: a signature is to be checked by who uses them. issuer_key_id: '' when the CRL names none.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.read_crls(p_issuers bytea[], p_known bytea[], p_most bigint)
RETURNS TABLE (url text, fingerprint bytea, issuer bytea, issuer_key_id bytea, is_delta boolean, this_update timestamptz,
               next_update timestamptz, fetched_at timestamptz, der bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH there AS (
        SELECT w.name, c.fingerprint, c.issuer, c.issuer_key_id, c.is_delta, c.this_update, c.next_update, c.fetched_at,
               c.der, octet_length(c.der) AS octets, c.fingerprint = ANY (p_known) AS known
        FROM pki.crl c JOIN pki.wanted w ON w.digest = c.wanted
        WHERE (p_issuers IS NULL OR c.issuer = ANY (p_issuers))
          AND coalesce(c.next_update, c.fetched_at) > statement_timestamp() - interval '30 days'
        UNION ALL
        SELECT a.url, sha256(a.crl), a.crl_issuer, ''::bytea, false, a.crl_since, a.crl_until, a.crl_since, a.crl,
               octet_length(a.crl), sha256(a.crl) = ANY (p_known)
        FROM ca.authority a
        WHERE a.crl_issuer IS NOT NULL AND (p_issuers IS NULL OR a.crl_issuer = ANY (p_issuers))
    ), measured AS (
        SELECT t.*, sum(CASE WHEN t.known THEN 0 ELSE t.octets END)
                    OVER (ORDER BY t.fetched_at DESC, t.name, t.fingerprint) AS so_far
        FROM there t
    )
    SELECT m.name, m.fingerprint, m.issuer, m.issuer_key_id, m.is_delta, m.this_update, m.next_update, m.fetched_at,
           CASE WHEN NOT m.known AND (m.so_far <= p_most OR m.so_far = m.octets) THEN m.der END
    FROM measured m ORDER BY m.name, m.fetched_at DESC;
END
$$;
ALTER FUNCTION pki.read_crls OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.read_crls FROM PUBLIC;
