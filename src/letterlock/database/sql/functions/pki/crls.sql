-- pki.crls: the CRLs that were fetched and are not over.
-- Who: ll_flow.
-- Promises: all that are wanted, those of no next_update or one not longer ago than 30 days; der is null for those whose
--   fingerprint stands in p_known. Unjudged: a signature is to be checked by who uses them. issuer: Certificate.subject_key;
--   issuer_key_id: '' when the CRL names none. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.crls(p_known bytea[])
RETURNS TABLE (url text, fingerprint bytea, issuer bytea, issuer_key_id bytea, is_delta boolean, this_update timestamptz,
               next_update timestamptz, fetched_at timestamptz, der bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT w.name, c.fingerprint, c.issuer, c.issuer_key_id, c.is_delta, c.this_update, c.next_update, c.fetched_at,
           CASE WHEN c.fingerprint = ANY (p_known) THEN NULL ELSE c.der END
    FROM pki.crl c JOIN pki.wanted w ON w.digest = c.wanted
    WHERE coalesce(c.next_update, c.fetched_at) > statement_timestamp() - interval '30 days'
    ORDER BY w.name, c.fetched_at DESC;
END
$$;
ALTER FUNCTION pki.crls OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.crls FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.crls TO ll_flow;
