-- pki.candidates: the certificates kept for each address, to choose from.
-- Who: ll_flow.
-- Promises: as pki.read_candidates; addresses in match form. key_id: when we have the private key.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.candidates(p_addresses text[])
RETURNS TABLE (address text, id uuid, der bytea, key_id uuid, capabilities text[], preferred boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN QUERY SELECT * FROM pki.read_candidates(p_addresses);
END
$$;
ALTER FUNCTION pki.candidates OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.candidates FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.candidates TO ll_flow;
