-- pki.store_ocsp_answer: keep the answer of an OCSP responder; it replaces the one before.
-- Who: ll_fetch.
-- Promises: true when the lease still held. Kept under the CertID that was asked about; who asks judges it, and its times.
-- Locks: the wanted row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.store_ocsp_answer(
    p_digest bytea, p_lease uuid, p_due_at timestamptz, p_good_until timestamptz, p_der bytea, p_this_update timestamptz,
    p_next_update timestamptz
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_about bytea;
BEGIN
    SELECT w.about INTO v_about FROM pki.wanted w WHERE w.digest = p_digest AND w.lease = p_lease AND w.kind = 'ocsp';
    IF NOT FOUND OR NOT pki.answer_wanted(p_digest, p_lease, 'found', p_due_at, p_good_until, NULL) THEN
        RETURN false;
    END IF;
    INSERT INTO pki.ocsp_answer AS o (wanted, cert_id, der, this_update, next_update, fetched_at)
    VALUES (p_digest, v_about, p_der, p_this_update, p_next_update, statement_timestamp())
    ON CONFLICT (wanted) DO UPDATE
    SET der = p_der, this_update = p_this_update, next_update = p_next_update, fetched_at = statement_timestamp();
    RETURN true;
END
$$;
ALTER FUNCTION pki.store_ocsp_answer OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.store_ocsp_answer FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.store_ocsp_answer TO ll_fetch;
