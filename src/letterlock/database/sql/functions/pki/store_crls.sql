-- pki.store_crls: keep the CRLs that came from one URL.
-- Who: ll_fetch.
-- Promises: true when the lease still held. Each is kept by its octets; of one URL the three fetched last stay, so that a
--   forged or older one does not push out the one that holds. A CRL that was not there before makes a new revision, audited.
--   fingerprints are made here. Nothing is judged. Locks: the wanted row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.store_crls(
    p_digest bytea, p_lease uuid, p_due_at timestamptz, p_good_until timestamptz, p_ders bytea[], p_issuers bytea[],
    p_issuer_key_ids bytea[], p_is_delta boolean[], p_this_update timestamptz[], p_next_update timestamptz[]
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_new bytea[];
    v_name text;
BEGIN
    SELECT w.name INTO v_name FROM pki.wanted w WHERE w.digest = p_digest AND w.lease = p_lease AND w.kind = 'crl';
    IF NOT FOUND OR NOT pki.answer_wanted(p_digest, p_lease, 'found', p_due_at, p_good_until, NULL) THEN
        RETURN false;
    END IF;
    UPDATE pki.crl c SET fetched_at = statement_timestamp()
    WHERE c.wanted = p_digest AND c.fingerprint = ANY (ARRAY(SELECT sha256(u.der) FROM unnest(p_ders) AS u (der)));
    WITH entered AS (
        INSERT INTO pki.crl (wanted, fingerprint, der, issuer, issuer_key_id, is_delta, this_update, next_update, fetched_at)
        SELECT p_digest, sha256(u.der), u.der, u.issuer, u.issuer_key_id, u.is_delta, u.this_update, u.next_update,
               statement_timestamp()
        FROM unnest(p_ders, p_issuers, p_issuer_key_ids, p_is_delta, p_this_update, p_next_update)
             AS u (der, issuer, issuer_key_id, is_delta, this_update, next_update)
        ON CONFLICT (wanted, fingerprint) DO NOTHING RETURNING fingerprint
    )
    SELECT array_agg(e.fingerprint) INTO v_new FROM entered e;
    IF v_new IS NOT NULL THEN
        DELETE FROM pki.crl c WHERE c.wanted = p_digest AND c.fingerprint NOT IN (
            SELECT x.fingerprint FROM pki.crl x WHERE x.wanted = p_digest
            ORDER BY x.fetched_at DESC, x.this_update DESC LIMIT greatest(3, cardinality(p_ders)));
        PERFORM policy.grow_revision();
        PERFORM audit.write(NULL, NULL, 'pki.store_crls', NULL, true, jsonb_build_object('url', v_name, 'fingerprints',
            (SELECT jsonb_agg(encode(u.f, 'hex')) FROM unnest(v_new) AS u (f))));
    END IF;
    RETURN true;
END
$$;
ALTER FUNCTION pki.store_crls OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.store_crls FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.store_crls TO ll_fetch;
