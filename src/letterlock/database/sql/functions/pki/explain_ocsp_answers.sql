-- pki.explain_ocsp_answers: pki.ocsp_answers, for a person.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: as pki.read_ocsp_answers. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.explain_ocsp_answers(p_token bytea, p_cert_ids bytea[])
RETURNS TABLE (cert_id bytea, der bytea, this_update timestamptz, next_update timestamptz, fetched_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF (accounts.authorise(p_token, 'pki.read')).session IS NOT NULL THEN
        RETURN QUERY SELECT * FROM pki.read_ocsp_answers(p_cert_ids);
    END IF;
END
$$;
ALTER FUNCTION pki.explain_ocsp_answers OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.explain_ocsp_answers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.explain_ocsp_answers TO ll_admin;
