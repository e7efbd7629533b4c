-- pki.harvest: keep a correspondent's certificate that came with signed mail. Its path and address held; it is not trusted
--   by being here, and is judged again whenever it is used.
-- Who: ll_flow.
-- Promises: answer 'new', 'waiting' (kept, but used only after approval), 'already' (at most its capabilities changed),
--   'full' (the address has 20 harvested ones that are valid: nothing kept) or 'wrong' (p_fingerprint is not of p_der, or
--   p_address, the author's, is not among p_addresses, the certificate's, all in match form).
--   other_key: the address had valid certificates, none with the key identifier p_ski. p_wait: a new
--   one for an address that has others, with another key, waits. p_capabilities (null: none announced) replace older ones
--   only: p_signed_at decides; so does p_preferred, the author's wish to be written to with this certificate, which ends
--   an older wish for another one of p_address. A new one is audited; the revision grows unless it waits, and when what
--   is known of one that is used has changed.
-- Locks: the certificate's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.harvest(
    p_id uuid, p_der bytea, p_fingerprint bytea, p_subject text, p_issuer text, p_serial bytea, p_ski bytea, p_address text,
    p_addresses text[], p_not_before timestamptz, p_not_after timestamptz, p_capabilities text[], p_preferred boolean, p_signed_at timestamptz, p_wait boolean,
    OUT answer text, OUT other_key boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v_id uuid;
    v_known int;
    v_harvested int;
    v_signed_at timestamptz := least(p_signed_at, statement_timestamp());
    v_same boolean;
BEGIN
    other_key := false;
    IF sha256(p_der) <> p_fingerprint OR p_address <> ALL (p_addresses) OR EXISTS (
            SELECT 1 FROM unnest(p_addresses) AS u (address) WHERE left(u.address, 1) = '@') THEN
        answer := 'wrong';
        RETURN;
    END IF;
    SELECT c.id INTO v_id FROM pki.certificate c WHERE c.fingerprint = p_fingerprint;
    IF v_id IS NULL THEN
        SELECT count(*), count(*) FILTER (WHERE c.origin = 'harvest'), count(*) > 0 AND NOT bool_or(c.ski = p_ski)
        INTO v_known, v_harvested, other_key
        FROM (SELECT x.certificate FROM pki.address x WHERE x.address = p_address
              UNION SELECT x.certificate FROM pki.pending x WHERE x.address = p_address) n
        JOIN pki.certificate c ON c.id = n.certificate WHERE c.not_after > statement_timestamp();
        IF v_harvested >= 20 THEN
            answer := 'full';
            RETURN;
        END IF;
        INSERT INTO pki.certificate (id, organisation, fingerprint, der, subject, issuer, serial, ski, is_ca, not_before,
                                     not_after, key_id, imported_by, imported_at, origin, sha1)
        SELECT p_id, o.id, p_fingerprint, p_der, p_subject, p_issuer, p_serial, p_ski, false, p_not_before, p_not_after,
               NULL, 'harvest', statement_timestamp(), 'harvest', pki.sha1(p_der)
        FROM policy.organisation o WHERE o.name = 'default'
        ON CONFLICT (fingerprint) DO NOTHING
        RETURNING id INTO v_id;
        IF v_id IS NULL THEN  -- another flow was faster
            answer := 'already';
            RETURN;
        END IF;
        IF p_wait AND other_key THEN
            INSERT INTO pki.pending (certificate, address, since)
            SELECT DISTINCT v_id, u.address, statement_timestamp() FROM unnest(p_addresses) AS u (address);
            answer := 'waiting';
        ELSE
            INSERT INTO pki.address (address, certificate)
            SELECT DISTINCT u.address, v_id FROM unnest(p_addresses) AS u (address);
            PERFORM policy.grow_revision();
            answer := 'new';
        END IF;
        PERFORM audit.write('flow', NULL, 'pki.harvest', v_id, true, jsonb_build_object(
            'fingerprint', encode(p_fingerprint, 'hex'), 'address', p_address, 'answer', answer, 'other_key', other_key));
    ELSE
        answer := 'already';
    END IF;
    IF (p_capabilities IS NOT NULL OR p_preferred) AND p_signed_at IS NOT NULL THEN
        -- A signer's clock that runs ahead must not freeze what is known (RFC 8551 2.7.1 goes by the time of signing).
        SELECT k.names = coalesce(p_capabilities, '{}') AND k.preferred = p_preferred INTO v_same
        FROM pki.capabilities k WHERE k.certificate = v_id;
        INSERT INTO pki.capabilities AS k (certificate, names, preferred, signed_at)
        VALUES (v_id, coalesce(p_capabilities, '{}'), p_preferred, v_signed_at)
        ON CONFLICT (certificate) DO UPDATE
        SET names = excluded.names, preferred = excluded.preferred, signed_at = excluded.signed_at
        WHERE k.signed_at < excluded.signed_at;
        IF FOUND AND v_same IS DISTINCT FROM true AND answer = 'already' THEN
            PERFORM policy.grow_revision();
        END IF;
        IF p_preferred THEN
            UPDATE pki.capabilities k SET preferred = false
            FROM pki.address a
            WHERE a.address = p_address AND a.certificate = k.certificate AND k.certificate <> v_id AND k.preferred
              AND k.signed_at < v_signed_at;
        END IF;
    END IF;
END
$$;
ALTER FUNCTION pki.harvest OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.harvest FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.harvest TO ll_flow;
