-- ca.order_signature: what the keyholder is to sign with which key, once, within ten seconds.
-- Who: ll_admin, with a token that may ca.change; ll_housekeeping for kinds crl and ocsp, and for certificate and request
--   only to carry out the open request p_request, whose address (and key) the keyholder then compares.
-- Promises: 'done'; 'not-found' when there is no such key, authority or request; 'denied'. The key is an authority's own,
--   but for 'request': there it is the mail key that asks. Audited with the digest of p_tbs. Orders older than an hour go.
-- Locks: nothing. Raises: 23505 when the id is known.
CREATE OR REPLACE FUNCTION ca.order_signature(
    p_token bytea, p_id uuid, p_kind text, p_key_id uuid, p_request uuid, p_tbs bytea
)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
    v_issuer bytea;
    v_address text;
    v_key uuid;
    v_revoked timestamptz;
BEGIN
    SELECT * INTO a FROM ca.allow(p_token, 'ca.change');
    IF a.principal IS NULL THEN
        RETURN 'denied';
    END IF;
    IF a.session IS NULL AND (p_kind = 'authority' OR p_kind IN ('certificate', 'request') AND p_request IS NULL) THEN
        PERFORM audit.write(a.principal, a.organisation, 'ca.order_signature', p_key_id, false,
                            jsonb_build_object('kind', p_kind));
        RETURN 'denied';
    END IF;
    IF p_request IS NOT NULL THEN
        SELECT r.address, r.key_id INTO v_address, v_key FROM ca.request r WHERE r.id = p_request AND r.state = 'due' FOR UPDATE;
        IF NOT FOUND OR (p_kind = 'request' AND v_key IS DISTINCT FROM p_key_id)
                OR (p_kind = 'certificate' AND a.session IS NULL AND v_key IS NULL) THEN
            RETURN 'not-found';
        END IF;
    END IF;
    SELECT c.der, c.revoked_at INTO v_issuer, v_revoked FROM ca.authority c WHERE c.key_id = p_key_id;
    IF v_revoked IS NOT NULL AND p_kind IN ('authority', 'certificate') THEN
        RETURN 'revoked';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM keyholder.private_key k WHERE k.id = p_key_id
                   AND k.use = CASE p_kind WHEN 'request' THEN 'mail' ELSE 'authority' END)
            OR (v_issuer IS NULL AND p_kind IN ('certificate', 'crl', 'ocsp')) THEN
        RETURN 'not-found';
    END IF;
    DELETE FROM ca.signing_order o WHERE o.made_at < statement_timestamp() - interval '1 hour';
    INSERT INTO ca.signing_order (id, kind, key_id, issuer, address, request_key, tbs, role, session, made_at)
    VALUES (p_id, p_kind, p_key_id, v_issuer, v_address, v_key, p_tbs, session_user, a.session, statement_timestamp());
    PERFORM audit.write(a.principal, a.organisation, 'ca.order_signature', p_id, true,
        jsonb_build_object('kind', p_kind, 'key', p_key_id, 'request', p_request, 'sha256', encode(sha256(p_tbs), 'hex')));
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.order_signature OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.order_signature FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.order_signature TO ll_admin, ll_housekeeping;
