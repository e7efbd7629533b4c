-- audit.entries: rows of the audit trail, the newest transaction first.
-- Who: ll_admin, with a token that may audit.read.
-- Promises: rows older than p_before (null: from the end), of p_object only when it is given, at most p_max (1000).
--   A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION audit.entries(p_token bytea, p_before timestamptz, p_object uuid, p_max int)
RETURNS TABLE (day date, xid bigint, id uuid, at timestamptz, db_role text, principal text, organisation uuid,
               action text, object uuid, ok boolean, detail text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (accounts.authorise(p_token, 'audit.read')).session IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT e.day, e.xid::text::bigint, e.id, e.at, e.db_role, e.principal, e.organisation, e.action, e.object, e.ok,
           e.detail::text
    FROM audit.entry e
    WHERE (p_before IS NULL OR (e.at < p_before AND e.day <= (p_before AT TIME ZONE 'UTC')::date))
      AND (p_object IS NULL OR e.object = p_object)
    ORDER BY e.xid DESC, e.id DESC LIMIT least(p_max, 1000);
END
$$;
ALTER FUNCTION audit.entries OWNER TO fn_audit;
REVOKE ALL ON FUNCTION audit.entries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.entries TO ll_admin;
