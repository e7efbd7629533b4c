-- pki.authorities: what paths are built from and must end in.
-- Who: ll_flow.
-- Promises: as pki.read_authorities. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.authorities() RETURNS TABLE (der bytea, is_anchor boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN QUERY SELECT * FROM pki.read_authorities();
END
$$;
ALTER FUNCTION pki.authorities OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.authorities FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.authorities TO ll_flow;
