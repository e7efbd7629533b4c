-- accounts.expire: forget sessions that ended more than a day ago.
-- Who: ll_housekeeping.
-- Promises: returns how many rows left; a live session is never touched.
-- Locks: the rows that leave. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION accounts.expire() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_gone bigint;
BEGIN
    DELETE FROM accounts.session s
    WHERE s.expires_at < statement_timestamp() - interval '1 day'
       OR s.ended_at < statement_timestamp() - interval '1 day';
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_gone;
END
$$;
ALTER FUNCTION accounts.expire OWNER TO fn_accounts;
REVOKE ALL ON FUNCTION accounts.expire FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts.expire TO ll_housekeeping;
