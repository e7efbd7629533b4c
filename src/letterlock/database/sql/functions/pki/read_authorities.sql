-- pki.read_authorities: trust anchors and the certificates of authorities.
-- Who: fn_pki itself (authorities, explain_authorities).
-- Promises: every anchor, every certificate that says it is an authority, fetched ones too (no path ends at them).
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.read_authorities() RETURNS TABLE (der bytea, is_anchor boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN QUERY
    SELECT c.der, true FROM pki.anchor t JOIN pki.certificate c ON c.id = t.certificate
    UNION ALL
    SELECT c.der, false FROM pki.certificate c
    WHERE c.is_ca AND NOT EXISTS (SELECT 1 FROM pki.anchor t WHERE t.certificate = c.id)
    UNION ALL
    SELECT DISTINCT f.der, false FROM pki.fetched_certificate f
    WHERE f.is_ca AND NOT EXISTS (SELECT 1 FROM pki.certificate c WHERE c.fingerprint = f.fingerprint);
END
$$;
ALTER FUNCTION pki.read_authorities OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.read_authorities FROM PUBLIC;
