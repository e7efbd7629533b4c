-- pki.explain_candidates: pki.candidates, for a person.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: as pki.candidates. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.explain_candidates(p_token bytea, p_addresses text[])
RETURNS TABLE (address text, id uuid, der bytea, key_id uuid, capabilities text[], preferred boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF (accounts.authorise(p_token, 'pki.read')).session IS NOT NULL THEN
        RETURN QUERY SELECT * FROM pki.read_candidates(p_addresses);
    END IF;
END
$$;
ALTER FUNCTION pki.explain_candidates OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.explain_candidates FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.explain_candidates TO ll_admin;
