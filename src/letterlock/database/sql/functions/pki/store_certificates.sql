-- pki.store_certificates: keep the certificates that were found for an address, or at an issuer's URL.
-- Who: ll_fetch.
-- Promises: true when the lease still held. They replace what was found for the same before; one found again keeps its id
--   and gets a new time. They are candidates and trusted by nothing here: the origin says where they come from (smimea,
--   directory, issuer). A new authority makes a new revision; at most 1,000 authorities are kept, those fetched last.
--   Each new one is audited. fingerprints are made here. Locks: the wanted row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.store_certificates(
    p_digest bytea, p_lease uuid, p_due_at timestamptz, p_good_until timestamptz, p_ids uuid[], p_ders bytea[],
    p_is_ca boolean[], p_not_after timestamptz[]
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    w record;
    v_new jsonb;
    v_authority boolean;
BEGIN
    SELECT x.kind::text AS kind, x.name INTO w FROM pki.wanted x
    WHERE x.digest = p_digest AND x.lease = p_lease AND x.kind IN ('issuer', 'directory', 'smimea');
    IF NOT FOUND OR NOT pki.answer_wanted(p_digest, p_lease, 'found', p_due_at, p_good_until, NULL) THEN
        RETURN false;
    END IF;
    DELETE FROM pki.fetched_certificate c
    WHERE c.wanted = p_digest AND c.fingerprint <> ALL (ARRAY(SELECT sha256(u.der) FROM unnest(p_ders) AS u (der)));
    UPDATE pki.fetched_certificate c SET fetched_at = statement_timestamp() WHERE c.wanted = p_digest;
    WITH entered AS (
        INSERT INTO pki.fetched_certificate AS c (id, wanted, origin, address, fingerprint, der, is_ca, not_after, fetched_at)
        SELECT u.id, p_digest, w.kind, CASE w.kind WHEN 'issuer' THEN '' ELSE w.name END, sha256(u.der), u.der, u.is_ca,
               u.not_after, statement_timestamp()
        FROM unnest(p_ids, p_ders, p_is_ca, p_not_after) AS u (id, der, is_ca, not_after)
        ON CONFLICT (wanted, fingerprint) DO NOTHING RETURNING c.fingerprint, c.is_ca
    )
    SELECT jsonb_agg(encode(e.fingerprint, 'hex')), bool_or(e.is_ca) INTO v_new, v_authority FROM entered e;
    IF v_authority THEN
        DELETE FROM pki.fetched_certificate c WHERE c.is_ca AND c.fetched_at < (
            SELECT min(x.fetched_at) FROM (SELECT y.fetched_at FROM pki.fetched_certificate y WHERE y.is_ca
                                           ORDER BY y.fetched_at DESC LIMIT 1000) x);
        PERFORM policy.grow_revision();
    END IF;
    IF v_new IS NOT NULL THEN
        PERFORM audit.write(NULL, NULL, 'pki.store_certificates', NULL, true,
                            jsonb_build_object('origin', w.kind, 'for', w.name, 'fingerprints', v_new));
    END IF;
    RETURN true;
END
$$;
ALTER FUNCTION pki.store_certificates OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.store_certificates FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.store_certificates TO ll_fetch;
