-- ca.published_certificate: the certificate of the authority under a label, for everybody.
-- Who: ll_admin, whose public listener serves it; no token, it is public.
-- Promises: nothing but the certificate. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.published_certificate(p_label text)
RETURNS TABLE (der bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT a.der FROM ca.authority a WHERE a.label = p_label;
END
$$;
ALTER FUNCTION ca.published_certificate OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.published_certificate FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.published_certificate TO ll_admin;
