-- pki.list: the certificates we keep.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: those of p_address (match form; null: all), the newest first, at most p_max. A denial is audited, warns LL002 and
--   answers no row. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.list(p_token bytea, p_address text, p_max int)
RETURNS TABLE (id uuid, organisation uuid, fingerprint bytea, subject text, issuer text, addresses text[], is_ca boolean,
               is_anchor boolean, not_before timestamptz, not_after timestamptz, key_id uuid, imported_by text,
               imported_at timestamptz)
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
           c.imported_by, c.imported_at
    FROM pki.certificate c
    WHERE p_address IS NULL
       OR c.id IN (SELECT a.certificate FROM pki.address a WHERE a.address = p_address)
    ORDER BY c.imported_at DESC, c.id LIMIT p_max;
END
$$;
ALTER FUNCTION pki.list OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.list FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.list TO ll_admin;
