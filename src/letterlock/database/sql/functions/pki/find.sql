-- pki.find: certificates by the beginning of their thumbprint.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: those whose SHA-256 or SHA-1 thumbprint begins with p_prefix (4 octets or more; none otherwise), at most p_max.
--   A denial is audited, warns LL002 and answers no row. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.find(p_token bytea, p_prefix bytea, p_max int) RETURNS TABLE (id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v_last bytea := p_prefix || decode(repeat('ff', 33), 'hex');
BEGIN
    IF (accounts.authorise(p_token, 'pki.read')).session IS NULL OR octet_length(p_prefix) < 4 THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT c.id FROM pki.certificate c WHERE c.fingerprint >= p_prefix AND c.fingerprint < v_last
    UNION
    SELECT c.id FROM pki.certificate c WHERE c.sha1 >= p_prefix AND c.sha1 < v_last
    ORDER BY 1 LIMIT p_max;
END
$$;
ALTER FUNCTION pki.find OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.find FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.find TO ll_admin;
