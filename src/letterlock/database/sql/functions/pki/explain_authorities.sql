-- pki.explain_authorities: pki.authorities, for a person.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: as pki.read_authorities. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.explain_authorities(p_token bytea) RETURNS TABLE (der bytea, is_anchor boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF (accounts.authorise(p_token, 'pki.read')).session IS NOT NULL THEN
        RETURN QUERY SELECT * FROM pki.read_authorities();
    END IF;
END
$$;
ALTER FUNCTION pki.explain_authorities OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.explain_authorities FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.explain_authorities TO ll_admin;
