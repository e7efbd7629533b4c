-- pki.explain_ctl_entries: the trust list, for a person.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: every entry, the ended ones too. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.explain_ctl_entries(p_token bytea)
RETURNS TABLE (id uuid, action text, by text, digest bytea, allow_expired boolean, reason text, author text, created_at timestamptz,
               until timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (accounts.authorise(p_token, 'pki.read')).session IS NOT NULL THEN
        RETURN QUERY
        SELECT t.id, t.action, t.by, t.digest, t.allow_expired, t.reason, t.author, t.created_at, t.until
        FROM pki.ctl t ORDER BY t.created_at, t.id;
    END IF;
END
$$;
ALTER FUNCTION pki.explain_ctl_entries OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.explain_ctl_entries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.explain_ctl_entries TO ll_admin;
