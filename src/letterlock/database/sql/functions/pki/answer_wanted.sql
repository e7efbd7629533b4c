-- pki.answer_wanted: an attempt to fetch is over.
-- Who: ll_fetch, for what brought nothing; fn_pki itself (store_crls, store_ocsp_answer, store_certificates).
-- Promises: true when the lease still held: the answer stands until p_good_until and the next attempt is at p_due_at; false:
--   nothing has changed. absent: the certificates found for it earlier are forgotten. failed: what was found earlier stays.
--   p_host_until: its server is left alone until then (never shortened); null: it did answer, its back-off is over.
-- Locks: the row, the server's back-off. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.answer_wanted(
    p_digest bytea, p_lease uuid, p_answer text, p_due_at timestamptz, p_good_until timestamptz, p_host_until timestamptz
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_host text;
BEGIN
    UPDATE pki.wanted w
    SET lease = NULL, answer = p_answer, answered_at = statement_timestamp(), due_at = p_due_at,
        good_until = p_good_until, failures = CASE WHEN p_answer = 'failed' THEN w.failures + 1 ELSE 0 END
    WHERE w.digest = p_digest AND w.lease = p_lease RETURNING w.host INTO v_host;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_answer = 'absent' THEN
        DELETE FROM pki.fetched_certificate c WHERE c.wanted = p_digest;
    END IF;
    IF v_host = '' THEN
        RETURN true;
    END IF;
    IF p_host_until IS NULL THEN
        DELETE FROM pki.host_backoff b WHERE b.host = v_host;
    ELSE
        INSERT INTO pki.host_backoff AS b (host, not_before, failures) VALUES (v_host, p_host_until, 1)
        ON CONFLICT (host) DO UPDATE
        SET not_before = greatest(b.not_before, p_host_until), failures = b.failures + 1;
    END IF;
    RETURN true;
END
$$;
ALTER FUNCTION pki.answer_wanted OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.answer_wanted FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.answer_wanted TO ll_fetch;
