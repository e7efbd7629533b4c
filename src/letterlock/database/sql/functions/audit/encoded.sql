-- audit.encoded: audit rows in their fixed encoding, to be checked against the seals.
-- Who: ll_admin, with a token that may audit.read.
-- Promises: the rows with p_from <= xid < p_upto, ordered by (xid, id), exactly as they were sealed; in pieces of about
--   p_limit rows: go on from upto until it is p_upto. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION audit.encoded(p_token bytea, p_from bigint, p_upto bigint, p_limit int)
RETURNS TABLE (blob bytea, rows int, upto bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF (accounts.authorise(p_token, 'audit.read')).session IS NOT NULL THEN
        RETURN QUERY SELECT e.blob, e.rows, e.upto FROM audit.encode(p_from, p_upto, p_limit) e;
    END IF;
END
$$;
ALTER FUNCTION audit.encoded OWNER TO fn_audit;
REVOKE ALL ON FUNCTION audit.encoded FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.encoded TO ll_admin;
