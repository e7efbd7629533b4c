-- ca.published_list: the list of revocations under a label, for everybody.
-- Who: ll_admin, whose public listener serves it; no token, it is public.
-- Promises: the row is there once a list was made. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.published_list(p_label text)
RETURNS TABLE (crl bytea, until timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT a.crl, a.crl_until FROM ca.authority a WHERE a.label = p_label AND a.crl IS NOT NULL;
END
$$;
ALTER FUNCTION ca.published_list OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.published_list FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.published_list TO ll_admin;
