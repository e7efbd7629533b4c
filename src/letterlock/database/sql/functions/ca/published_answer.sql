-- ca.published_answer: the OCSP answer about a certificate, for everybody.
-- Who: ll_admin, whose public listener serves it; no token, it is public.
-- Promises: the answer that names the issuer as asked: p_key_hash of 20 octets is SHA-1, of 32 SHA-256. No row: we know
--   nothing.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.published_answer(p_key_hash bytea, p_number bytea)
RETURNS TABLE (answer bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT CASE length(p_key_hash) WHEN 20 THEN i.answer_sha1 ELSE i.answer_sha256 END FROM ca.issued i
    WHERE i.serial = p_number AND i.answer_sha1 IS NOT NULL
      AND p_key_hash = CASE length(p_key_hash) WHEN 20 THEN i.key_sha1 ELSE i.key_sha256 END;
END
$$;
ALTER FUNCTION ca.published_answer OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.published_answer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.published_answer TO ll_admin;
