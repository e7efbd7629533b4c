-- keyholder.token_keys: the private keys that are on the PKCS #11 token.
-- Who: ll_keyholder.
-- Promises: one row a key. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.token_keys()
RETURNS TABLE (id uuid, token_uri text, use text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT k.id, k.token_uri, k.use FROM keyholder.private_key k WHERE k.token_uri IS NOT NULL ORDER BY k.id;
END
$$;
ALTER FUNCTION keyholder.token_keys OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.token_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.token_keys TO ll_keyholder;
