-- ca.want: an address shall get a certificate, since its mail was to be signed and could not be.
-- Who: ll_flow, for senders whose setting smime_auto_request_cert says so.
-- Promises: remembered once; housekeeping checks the setting again before it asks for one. At most 10,000 wait.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.want(p_address text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO ca.wanted (address, wanted_at)
    SELECT p_address, statement_timestamp() WHERE (SELECT count(*) FROM ca.wanted) < 10000
    ON CONFLICT DO NOTHING;
END
$$;
ALTER FUNCTION ca.want OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.want FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.want TO ll_flow;
