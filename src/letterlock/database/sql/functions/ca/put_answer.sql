-- ca.put_answer: publish the OCSP answer of a certificate.
-- Who: ll_admin, with a token that may ca.change; ll_housekeeping.
-- Promises: 'done'; 'stale' when the certificate was revoked meanwhile (p_revoked says how it was when it was signed);
--   'denied'.
-- Locks: the certificate's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.put_answer(
    p_token bytea, p_id uuid, p_revoked boolean, p_answer_sha1 bytea, p_answer_sha256 bytea, p_next timestamptz
)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (ca.allow(p_token, 'ca.change')).principal IS NULL THEN
        RETURN 'denied';
    END IF;
    UPDATE ca.issued i SET answer_sha1 = p_answer_sha1, answer_sha256 = p_answer_sha256, answer_next = p_next
    WHERE i.id = p_id AND (i.revoked_at IS NOT NULL) = p_revoked;
    RETURN CASE WHEN FOUND THEN 'done' ELSE 'stale' END;
END
$$;
ALTER FUNCTION ca.put_answer OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.put_answer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.put_answer TO ll_admin, ll_housekeeping;
