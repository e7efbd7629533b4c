-- ca.revoke_authority: an authority that issues may issue no more, and what it gave out is valid no more.
-- Who: ll_admin, with a token that may ca.change.
-- Promises: 'done'; 'already'; 'not-found' (a root revokes itself nowhere: take it off the anchors); 'denied'. p_serial: of its
--   certificate, 16 octets. Its root's list of revocations is due at once; its own list and answers are made on, for those who
--   have not seen the root's. Audited.
-- Locks: the authority's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.revoke_authority(p_token bytea, p_id uuid, p_serial bytea, p_reason text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
    c record;
BEGIN
    SELECT * INTO a FROM ca.allow(p_token, 'ca.change');
    IF a.principal IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT x.parent, x.name, x.generation, x.revoked_at INTO c FROM ca.authority x
    WHERE x.id = p_id AND x.kind = 'issuing' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not-found';
    ELSIF c.revoked_at IS NOT NULL THEN
        RETURN 'already';
    END IF;
    UPDATE ca.authority x SET revoked_at = date_trunc('second', statement_timestamp()), reason = p_reason, serial = p_serial
    WHERE x.id = p_id;
    UPDATE ca.authority x SET crl_next = 'epoch' WHERE x.id = c.parent;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'ca.revoke_authority', p_id, true,
                        jsonb_build_object('name', c.name, 'generation', c.generation, 'reason', p_reason));
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.revoke_authority OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.revoke_authority FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.revoke_authority TO ll_admin;
