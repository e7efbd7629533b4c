-- acme.finish: the certificate has come; keep it as its address's signer and decrypter, and what stands above it.
-- Who: ll_housekeeping, which has checked it.
-- Promises: 'done'; 'stale' when p_step is not the enrolment's step or the request is not enrolling; 'wrong-key' when p_spki is
--  not the public key of the request's. In one transaction: the certificate (one that is there gets its key), its address,
--  the authorities above it as candidates (trusted by nothing here), the request done. Audited.
--  Arrays: the certificate first, then those above it. Locks: both rows, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION acme.finish(
    p_request uuid, p_step int, p_spki bytea, p_addresses text[], p_ids uuid[], p_ders bytea[], p_subjects text[],
    p_issuers text[], p_serials bytea[], p_skis bytea[], p_not_before timestamptz[], p_not_after timestamptz[], p_reason text
)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    r record;
    v_id uuid;
BEGIN
    SELECT r.* INTO r FROM ca.request r WHERE r.id = p_request AND r.state = 'enrolling' FOR UPDATE;
    IF NOT FOUND OR NOT EXISTS (SELECT 1 FROM acme.enrolment e WHERE e.request = p_request AND e.step = p_step) THEN
        RETURN 'stale';
    END IF;
    IF NOT r.address = ANY (p_addresses) OR NOT EXISTS (
            SELECT 1 FROM keyholder.private_key k WHERE k.id = r.key_id AND k.spki = p_spki AND k.use = 'mail') THEN
        RETURN 'wrong-key';
    END IF;
    INSERT INTO pki.certificate (id, organisation, fingerprint, der, subject, issuer, serial, ski, is_ca, not_before, not_after,
                                 key_id, imported_by, imported_at, sha1)
    SELECT u.id, r.organisation, sha256(u.der), u.der, u.subject, u.issuer, u.serial, u.ski, u.n > 1, u.not_before, u.not_after,
           CASE u.n WHEN 1 THEN r.key_id END, 'housekeeping', statement_timestamp(), pki.sha1(u.der)
    FROM unnest(p_ids, p_ders, p_subjects, p_issuers, p_serials, p_skis, p_not_before, p_not_after) WITH ORDINALITY
         AS u (id, der, subject, issuer, serial, ski, not_before, not_after, n)
    ON CONFLICT DO NOTHING;
    SELECT c.id INTO v_id FROM pki.certificate c WHERE c.fingerprint = sha256(p_ders[1]);
    UPDATE pki.certificate c SET key_id = r.key_id WHERE c.id = v_id;
    INSERT INTO pki.address (address, certificate) SELECT DISTINCT u.address, v_id FROM unnest(p_addresses) AS u (address)
    ON CONFLICT DO NOTHING;
    UPDATE acme.enrolment e SET state = 'done', step = e.step + 1, method = '', code = NULL, fields = NULL, answer = NULL,
        fault = NULL WHERE e.request = p_request;
    UPDATE ca.request q SET state = 'done', reason = p_reason, issued = v_id WHERE q.id = p_request;
    PERFORM policy.grow_revision();
    PERFORM audit.write('housekeeping', r.organisation, 'acme.finish', v_id, true,
        jsonb_build_object('address', r.address, 'fingerprint', encode(sha256(p_ders[1]), 'hex'), 'request', p_request));
    RETURN 'done';
END
$$;
ALTER FUNCTION acme.finish OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.finish FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.finish TO ll_housekeeping;
