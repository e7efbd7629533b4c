-- ca.add_issued: a certificate was signed; keep it, and make it its address's when we have its key.
-- Who: ll_admin, with a token that may ca.change; ll_housekeeping for an open request.
-- Promises: 'done'; 'already'; 'not-found' (authority, key, or for housekeeping the request); 'denied'. With a key it is
--   stored among the certificates of its address, as signer and decrypter; older ones stay; one of an address outside is
--   held until ca.confirm. The request is done in the same transaction. Its OCSP answer is due at once. Audited.
-- Locks: the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.add_issued(
    p_token bytea, p_id uuid, p_authority uuid, p_number bytea, p_key_sha1 bytea, p_key_sha256 bytea, p_address text,
    p_profile text, p_request uuid, p_key_id uuid, p_der bytea, p_subject text, p_issuer text, p_serial bytea, p_ski bytea,
    p_spki bytea, p_not_before timestamptz, p_not_after timestamptz
)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
    v_organisation uuid;
BEGIN
    SELECT * INTO a FROM ca.allow(p_token, 'ca.change');
    IF a.principal IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT c.organisation INTO v_organisation FROM ca.authority c WHERE c.id = p_authority;
    IF NOT FOUND OR (p_request IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM ca.request r WHERE r.id = p_request AND r.state = 'due' AND r.address = p_address))
        OR (p_key_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM keyholder.private_key k WHERE k.id = p_key_id AND k.spki = p_spki AND k.use = 'mail'))
        OR (a.session IS NULL AND p_request IS NULL) THEN
        RETURN 'not-found';
    END IF;
    IF EXISTS (SELECT 1 FROM ca.issued i WHERE i.authority = p_authority AND i.serial = p_number) THEN
        RETURN 'already';
    END IF;
    INSERT INTO ca.issued (id, authority, serial, key_sha1, key_sha256, certificate, der, address, profile, key_id, request,
                           not_before, not_after, issued_by, issued_at, answer_next, held)
    VALUES (p_id, p_authority, p_number, p_key_sha1, p_key_sha256, p_id, p_der, p_address, p_profile, p_key_id, p_request,
            p_not_before, p_not_after, a.principal, statement_timestamp(), statement_timestamp(),
            p_key_id IS NOT NULL AND NOT ca.is_ours(p_address));
    INSERT INTO pki.certificate (id, organisation, fingerprint, der, subject, issuer, serial, ski, is_ca, not_before,
                                 not_after, key_id, imported_by, imported_at)
    VALUES (p_id, v_organisation, sha256(p_der), p_der, p_subject, p_issuer, p_serial, p_ski, false, p_not_before,
            p_not_after, p_key_id, a.principal, statement_timestamp());
    INSERT INTO pki.address (address, certificate) VALUES (p_address, p_id);
    UPDATE ca.request r SET state = 'done', reason = '', issued = p_id, key_id = p_key_id WHERE r.id = p_request;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, v_organisation, 'ca.add_issued', p_id, true,
        jsonb_build_object('address', p_address, 'fingerprint', encode(sha256(p_der), 'hex'), 'request', p_request));
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.add_issued OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.add_issued FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.add_issued TO ll_admin, ll_housekeeping;
