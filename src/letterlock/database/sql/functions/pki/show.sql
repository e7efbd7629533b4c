-- pki.show: one certificate, with its octets.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: by id, or by p_fingerprint (SHA-256; null: by id). A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.show(p_token bytea, p_id uuid, p_fingerprint bytea)
RETURNS TABLE (id uuid, organisation uuid, fingerprint bytea, subject text, issuer text, addresses text[], is_ca boolean,
               is_anchor boolean, not_before timestamptz, not_after timestamptz, key_id uuid, imported_by text,
               imported_at timestamptz, der bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (accounts.authorise(p_token, 'pki.read')).session IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT c.id, c.organisation, c.fingerprint, c.subject, c.issuer,
           ARRAY(SELECT a.address FROM pki.address a WHERE a.certificate = c.id ORDER BY a.address), c.is_ca,
           EXISTS (SELECT 1 FROM pki.anchor t WHERE t.certificate = c.id), c.not_before, c.not_after, c.key_id,
           c.imported_by, c.imported_at, c.der
    FROM pki.certificate c
    WHERE CASE WHEN p_fingerprint IS NULL THEN c.id = p_id ELSE c.fingerprint = p_fingerprint END;
END
$$;
ALTER FUNCTION pki.show OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.show FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.show TO ll_admin;
