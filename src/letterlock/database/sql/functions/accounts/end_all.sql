-- accounts.end_all: end every session, because the database was restored from a copy.
-- Who: fn_keyholder only.
-- Promises: no token that was live in the copy is live now.
-- Locks: the sessions' rows. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION accounts.end_all() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE accounts.session s SET ended_at = statement_timestamp() WHERE s.ended_at IS NULL;
END
$$;
ALTER FUNCTION accounts.end_all OWNER TO fn_accounts;
REVOKE ALL ON FUNCTION accounts.end_all FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.end_all TO fn_keyholder;
