-- acme.order_jws: what an account's key is to sign for an enrolment, once, within ten seconds.
-- Who: ll_housekeeping.
-- Promises: 'done'; 'not-found' unless the request is enrolling. The order bears the directory's scheme, host and port, the
--  request's address and its key: the keyholder signs nothing for another server, address or key (keyholder/jws.py).
--  Audited with the digest. Locks: nothing. Raises: 23505 when the id is known.
CREATE OR REPLACE FUNCTION acme.order_jws(p_id uuid, p_request uuid, p_tbs bytea)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    e record;
BEGIN
    SELECT e.account, e.directory, r.address, r.key_id INTO e FROM acme.enrolment e JOIN ca.request r ON r.id = e.request
    WHERE e.request = p_request AND r.state = 'enrolling';
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    INSERT INTO ca.signing_order (id, kind, key_id, issuer, address, request_key, tbs, role, session, made_at)
    VALUES (p_id, 'acme', e.account, convert_to(substring(e.directory from '^https://[^/]+/'), 'UTF8'), e.address, e.key_id, p_tbs,
            session_user, NULL, statement_timestamp());
    PERFORM audit.write('housekeeping', NULL, 'acme.order_jws', p_id, true,
        jsonb_build_object('key', e.account, 'request', p_request, 'sha256', encode(sha256(p_tbs), 'hex')));
    RETURN 'done';
END
$$;
ALTER FUNCTION acme.order_jws OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.order_jws FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.order_jws TO ll_housekeeping;
