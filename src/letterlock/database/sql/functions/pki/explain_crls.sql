-- pki.explain_crls: pki.crls, for a person.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: as pki.read_crls. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.explain_crls(p_token bytea, p_issuers bytea[], p_known bytea[], p_most bigint)
RETURNS TABLE (url text, fingerprint bytea, issuer bytea, issuer_key_id bytea, is_delta boolean, this_update timestamptz,
               next_update timestamptz, fetched_at timestamptz, der bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF (accounts.authorise(p_token, 'pki.read')).session IS NOT NULL THEN
        RETURN QUERY SELECT * FROM pki.read_crls(p_issuers, p_known, p_most);
    END IF;
END
$$;
ALTER FUNCTION pki.explain_crls OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.explain_crls FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.explain_crls TO ll_admin;
