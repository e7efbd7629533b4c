-- pki.crls: the CRLs that were fetched and are not over.
-- Who: ll_flow.
-- Promises: as pki.read_crls. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.crls(p_issuers bytea[], p_known bytea[], p_most bigint)
RETURNS TABLE (url text, fingerprint bytea, issuer bytea, issuer_key_id bytea, is_delta boolean, this_update timestamptz,
               next_update timestamptz, fetched_at timestamptz, der bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN QUERY SELECT * FROM pki.read_crls(p_issuers, p_known, p_most);
END
$$;
ALTER FUNCTION pki.crls OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.crls FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.crls TO ll_flow;
