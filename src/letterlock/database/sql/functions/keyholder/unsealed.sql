-- keyholder.unsealed: the audit rows that no seal covers yet, in their fixed encoding.
-- Who: ll_keyholder.
-- Promises: the rows from the last seal on of transactions that are over, whole transactions, about p_limit rows; the seal to
--   come is number, covers from_xid <= xid < upto_xid and has previous as its forerunner's link ('' before the first).
--   One row always; rows 0: nothing to seal.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.unsealed(p_limit int)
RETURNS TABLE (number bigint, from_xid bigint, upto_xid bigint, rows int, blob bytea, previous bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v record;
    e record;
BEGIN
    SELECT s.number, s.upto_xid, s.link INTO v FROM audit.seal s ORDER BY s.number DESC LIMIT 1;
    SELECT * INTO e FROM audit.encode(coalesce(v.upto_xid, 0), 9223372036854775807, p_limit);
    RETURN QUERY SELECT coalesce(v.number, 0) + 1, coalesce(v.upto_xid, 0), e.upto, e.rows, e.blob,
                        coalesce(v.link, ''::bytea);
END
$$;
ALTER FUNCTION keyholder.unsealed OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.unsealed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.unsealed TO ll_keyholder;
