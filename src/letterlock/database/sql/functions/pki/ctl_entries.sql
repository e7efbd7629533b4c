-- pki.ctl_entries: the trust list.
-- Who: ll_flow.
-- Promises: every entry that has not ended. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.ctl_entries()
RETURNS TABLE (id uuid, action text, by text, digest bytea, allow_expired boolean, reason text, author text, created_at timestamptz,
               until timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT t.id, t.action, t.by, t.digest, t.allow_expired, t.reason, t.author, t.created_at, t.until
    FROM pki.ctl t WHERE t.until IS NULL OR t.until > statement_timestamp() ORDER BY t.created_at, t.id;
END
$$;
ALTER FUNCTION pki.ctl_entries OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.ctl_entries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.ctl_entries TO ll_flow;
