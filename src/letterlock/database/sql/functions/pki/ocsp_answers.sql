-- pki.ocsp_answers: what OCSP responders said about certificates.
-- Who: ll_flow.
-- Promises: as pki.read_ocsp_answers. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.ocsp_answers(p_cert_ids bytea[])
RETURNS TABLE (cert_id bytea, der bytea, this_update timestamptz, next_update timestamptz, fetched_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN QUERY SELECT * FROM pki.read_ocsp_answers(p_cert_ids);
END
$$;
ALTER FUNCTION pki.ocsp_answers OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.ocsp_answers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.ocsp_answers TO ll_flow;
