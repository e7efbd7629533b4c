-- ca.authorities: our authorities.
-- Who: ll_admin, with a token that may ca.read; ll_housekeeping.
-- Promises: all, roots first, in the order they were made. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.authorities(p_token bytea)
RETURNS TABLE (id uuid, organisation uuid, name text, kind text, parent uuid, label text, url text, der bytea, key_id uuid,
               not_after timestamptz, crl_number bigint, crl_next timestamptz, crl_until timestamptz,
               generation int, revoked_at timestamptz, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (ca.allow(p_token, 'ca.read')).principal IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT a.id, a.organisation, a.name, a.kind, a.parent, a.label, a.url, a.der, a.key_id, a.not_after, a.crl_number,
           a.crl_next, a.crl_until, a.generation, a.revoked_at, a.reason
    FROM ca.authority a ORDER BY a.kind DESC, a.made_at, a.id;
END
$$;
ALTER FUNCTION ca.authorities OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.authorities FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.authorities TO ll_admin, ll_housekeeping;
