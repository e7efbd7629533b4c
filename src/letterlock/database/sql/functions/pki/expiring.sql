-- pki.expiring: certificates that end soon.
-- Who: ll_admin, with a token that may pki.read.
-- Promises: the ids of those that are valid now and end before p_before, the first to end first, at most p_max.
--   A denial is audited, warns LL002 and answers no row. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.expiring(p_token bytea, p_before timestamptz, p_max int) RETURNS TABLE (id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (accounts.authorise(p_token, 'pki.read')).session IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT c.id FROM pki.certificate c
    WHERE c.not_after >= statement_timestamp() AND c.not_after < p_before
    ORDER BY c.not_after, c.id LIMIT p_max;
END
$$;
ALTER FUNCTION pki.expiring OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.expiring FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.expiring TO ll_admin;
