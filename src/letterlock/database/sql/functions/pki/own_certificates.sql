-- pki.own_certificates: which of our certificates does a CMS recipient mean?
-- Who: ll_flow.
-- Promises: certificates with a private key here, named by one of p_serials (DER IssuerAndSerialNumber) or p_skis (subject key
--   identifier), expired ones too: old mail is still read. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.own_certificates(p_serials bytea[], p_skis bytea[])
RETURNS TABLE (id uuid, der bytea, key_id uuid, addresses text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.id, c.der, c.key_id, ARRAY(SELECT a.address FROM pki.address a WHERE a.certificate = c.id ORDER BY a.address)
    FROM pki.certificate c
    WHERE c.key_id IS NOT NULL AND c.id IN (
        SELECT x.id FROM pki.certificate x WHERE x.serial = ANY (p_serials) AND x.key_id IS NOT NULL
        UNION SELECT x.id FROM pki.certificate x WHERE x.ski = ANY (p_skis) AND x.key_id IS NOT NULL)
    ORDER BY c.not_after DESC, c.id;
END
$$;
ALTER FUNCTION pki.own_certificates OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.own_certificates FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.own_certificates TO ll_flow;
