-- pki.read_ocsp_answers: what OCSP responders said about certificates.
-- Who: fn_pki itself (ocsp_answers, explain_ocsp_answers).
-- Promises: the answers kept for each of p_cert_ids (DER CertID, RFC 6960 4.1.1, SHA-1), one from each responder, the newest
--   first; unjudged, with their times. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.read_ocsp_answers(p_cert_ids bytea[])
RETURNS TABLE (cert_id bytea, der bytea, this_update timestamptz, next_update timestamptz, fetched_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT o.cert_id, o.der, o.this_update, o.next_update, o.fetched_at FROM pki.ocsp_answer o
    WHERE o.cert_id = ANY (p_cert_ids) ORDER BY o.cert_id, o.this_update DESC;
END
$$;
ALTER FUNCTION pki.read_ocsp_answers OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.read_ocsp_answers FROM PUBLIC;
