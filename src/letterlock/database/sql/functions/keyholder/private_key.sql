-- keyholder.private_key: a wrapped private key of a mail user, and for whom it may be used.
-- Who: ll_keyholder.
-- Promises: addresses: those of the certificates that belong to the key, in match form, without those that an
--   administrator tied them to: a tie makes nobody the owner of a key. No row: no such key, or one of an authority: those
--   are never used for mail.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.private_key(p_id uuid)
RETURNS TABLE (wrapped bytea, organisation uuid, algorithm text, spki bytea, addresses text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT k.wrapped, k.organisation, k.algorithm, k.spki,
           ARRAY(SELECT DISTINCT a.address FROM pki.certificate c JOIN pki.address a ON a.certificate = c.id
                 WHERE c.key_id = k.id AND left(a.address, 1) <> '@' ORDER BY a.address)
    FROM keyholder.private_key k WHERE k.id = p_id AND k.use = 'mail';
END
$$;
ALTER FUNCTION keyholder.private_key OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.private_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.private_key TO ll_keyholder;
