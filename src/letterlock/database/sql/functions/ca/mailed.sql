-- ca.mailed: these warnings are in the queue.
-- Who: ll_flow.
-- Promises: they are not mailed again. Locks: their rows. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.mailed(p_mails uuid[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE ca.warning w SET mailed_at = statement_timestamp() WHERE w.mail = ANY (p_mails);
END
$$;
ALTER FUNCTION ca.mailed OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.mailed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.mailed TO ll_flow;
