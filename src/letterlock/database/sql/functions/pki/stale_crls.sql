-- pki.stale_crls: CRLs in use that are past their nextUpdate, and nothing newer has come.
-- Who: ll_fetch.
-- Promises: URL, server and nextUpdate, for those asked for during the last two days. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.stale_crls() RETURNS TABLE (url text, host text, next_update timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT w.name, w.host, max(c.next_update) FROM pki.wanted w JOIN pki.crl c ON c.wanted = w.digest
    WHERE w.kind = 'crl' AND w.wanted_at > statement_timestamp() - interval '2 days'
    GROUP BY w.name, w.host HAVING max(c.next_update) <= statement_timestamp() ORDER BY w.name;
END
$$;
ALTER FUNCTION pki.stale_crls OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.stale_crls FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.stale_crls TO ll_fetch;
