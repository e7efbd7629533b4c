-- ca.revoke: a certificate that we gave out is valid no more.
-- Who: ll_admin, with a token that may ca.change.
-- Promises: 'done'; 'already'; 'not-found'; 'denied'. Revoking is for ever (but for reason certificateHold there is no way
--   back in X.509 either). The authority's list of revocations and the certificate's OCSP answer are due at once. It is no
--   candidate any more (pki.read_candidates), so nothing is signed or encrypted with it; its key stays, to decrypt. Audited.
-- Locks: the certificate's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.revoke(p_token bytea, p_id uuid, p_reason text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
    i record;
BEGIN
    SELECT * INTO a FROM ca.allow(p_token, 'ca.change');
    IF a.principal IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT x.id, x.authority, x.address, x.revoked_at INTO i FROM ca.issued x WHERE x.id = p_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not-found';
    ELSIF i.revoked_at IS NOT NULL THEN
        RETURN 'already';
    END IF;
    UPDATE ca.issued x SET revoked_at = date_trunc('second', statement_timestamp()), reason = p_reason,
        answer_next = statement_timestamp() WHERE x.id = p_id;
    UPDATE ca.authority x SET crl_next = 'epoch' WHERE x.id = i.authority;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'ca.revoke', p_id, true,
                        jsonb_build_object('address', i.address, 'reason', p_reason));
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.revoke OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.revoke FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.revoke TO ll_admin;
