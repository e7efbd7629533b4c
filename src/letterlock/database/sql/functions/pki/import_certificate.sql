-- pki.import_certificate: keep a certificate, with the key it belongs to when we have it. An import never trusts.
-- Who: ll_admin, with a token that may pki.change. The certificate was parsed before it came here; only its octets count.
-- Promises: answer and the id it is kept under: 'done'; 'already' (nothing changed); 'done' too when a known certificate now
--   gets its key; 'wrong-key' when p_key_id is unknown or its public key is not p_spki; 'denied'. p_fingerprint must be
--   the SHA-256 of p_der ('wrong-key' otherwise). addresses in match form; p_serial: DER IssuerAndSerialNumber. Audited.
--   One that waited for approval is approved by it ('done').
-- Locks: the certificate's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.import_certificate(
    p_token bytea, p_id uuid, p_organisation uuid, p_der bytea, p_fingerprint bytea, p_subject text, p_issuer text,
    p_serial bytea, p_ski bytea, p_spki bytea, p_addresses text[], p_is_ca boolean, p_not_before timestamptz,
    p_not_after timestamptz, p_key_id uuid, OUT answer text, OUT id uuid
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
    c record;
    v_organisation uuid;
    v_approved boolean := false;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'pki.change');
    IF a.session IS NULL THEN
        answer := 'denied';
        RETURN;
    END IF;
    IF sha256(p_der) <> p_fingerprint OR (p_key_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM keyholder.private_key k WHERE k.id = p_key_id AND k.spki = p_spki)) THEN
        answer := 'wrong-key';
        RETURN;
    END IF;
    SELECT o.id INTO v_organisation FROM policy.organisation o
    WHERE o.id = p_organisation OR (p_organisation IS NULL AND o.name = 'default');
    SELECT x.id, x.key_id INTO c FROM pki.certificate x WHERE x.fingerprint = p_fingerprint;
    -- What an administrator imports waits no more, if it waited.
    IF c.id IS NOT NULL THEN
        INSERT INTO pki.address (address, certificate)
        SELECT DISTINCT p.address, c.id FROM pki.pending p WHERE p.certificate = c.id
        ON CONFLICT DO NOTHING;
        DELETE FROM pki.pending p WHERE p.certificate = c.id;
        v_approved := FOUND;
    END IF;
    IF c.id IS NOT NULL AND NOT v_approved AND (p_key_id IS NULL OR c.key_id = p_key_id) THEN
        answer := 'already';
        id := c.id;
        RETURN;
    END IF;
    PERFORM policy.grow_revision();
    IF c.id IS NOT NULL THEN
        id := c.id;
        UPDATE pki.certificate x SET key_id = coalesce(p_key_id, x.key_id) WHERE x.id = c.id;
    ELSE
        id := p_id;
        INSERT INTO pki.certificate (id, organisation, fingerprint, der, subject, issuer, serial, ski, is_ca, not_before,
                                     not_after, key_id, imported_by, imported_at, sha1)
        VALUES (p_id, v_organisation, p_fingerprint, p_der, p_subject, p_issuer, p_serial, p_ski, p_is_ca, p_not_before,
                p_not_after, p_key_id, a.principal, statement_timestamp(), pki.sha1(p_der));
        INSERT INTO pki.address (address, certificate)
        SELECT DISTINCT u.address, p_id FROM unnest(p_addresses) AS u (address);
    END IF;
    PERFORM audit.write(a.principal, v_organisation, 'pki.import_certificate', id, true,
        jsonb_build_object('fingerprint', encode(p_fingerprint, 'hex'), 'addresses', p_addresses, 'key', p_key_id));
    answer := 'done';
END
$$;
ALTER FUNCTION pki.import_certificate OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.import_certificate FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.import_certificate TO ll_admin;
