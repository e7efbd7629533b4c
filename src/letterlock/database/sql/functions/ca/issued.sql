-- ca.issued: the certificates that our authorities gave out.
-- Who: ll_admin, with a token that may ca.read.
-- Promises: of p_address (match form; null: all) or the one p_id, the newest first, at most p_max. A denial is audited,
--   warns LL002 and answers no row. One of an authority that was revoked was revoked with it.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.issued(p_token bytea, p_address text, p_id uuid, p_max int)
RETURNS TABLE (id uuid, authority uuid, serial bytea, certificate uuid, der bytea, address text, profile text, key_id uuid,
               request uuid, not_before timestamptz, not_after timestamptz, issued_by text, issued_at timestamptz,
               revoked_at timestamptz, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (ca.allow(p_token, 'ca.read')).principal IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT i.id, i.authority, i.serial, i.certificate, i.der, i.address, i.profile, i.key_id, i.request, i.not_before, i.not_after,
           i.issued_by, i.issued_at, coalesce(i.revoked_at, a.revoked_at), coalesce(i.reason, a.reason)
    FROM ca.issued i JOIN ca.authority a ON a.id = i.authority
    WHERE (p_address IS NULL OR i.address = p_address) AND (p_id IS NULL OR i.id = p_id)
    ORDER BY i.issued_at DESC, i.id LIMIT p_max;
END
$$;
ALTER FUNCTION ca.issued OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.issued FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.issued TO ll_admin;
