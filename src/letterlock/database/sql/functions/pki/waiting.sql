-- pki.waiting: harvested certificates that nobody has approved.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: those of p_address (match form; null: all), the newest first, at most p_max. A denial is audited, warns LL002 and
--   answers no row. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.waiting(p_token bytea, p_address text, p_max int)
RETURNS TABLE (address text, id uuid, der bytea, since timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (accounts.authorise(p_token, 'pki.read')).session IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT p.address, c.id, c.der, p.since FROM pki.pending p JOIN pki.certificate c ON c.id = p.certificate
    WHERE p_address IS NULL OR p.address = p_address ORDER BY p.since DESC, c.id LIMIT p_max;
END
$$;
ALTER FUNCTION pki.waiting OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.waiting FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.waiting TO ll_admin;
