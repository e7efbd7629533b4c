-- acme.account: the account that an organisation has at a directory.
-- Who: ll_admin, with a token that may ca.read; ll_housekeeping.
-- Promises: its key's id, or no row. A denial is audited, warns LL002 and answers no row. Locks: nothing. Raises: nothing of its
--  own.
CREATE OR REPLACE FUNCTION acme.account(p_token bytea, p_organisation uuid, p_directory text)
RETURNS TABLE (key_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (ca.allow(p_token, 'ca.read')).principal IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT a.key_id FROM acme.account a WHERE a.organisation = p_organisation AND a.directory = p_directory;
END
$$;
ALTER FUNCTION acme.account OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.account FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.account TO ll_admin, ll_housekeeping;
