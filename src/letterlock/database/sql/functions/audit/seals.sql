-- audit.seals: the seals over the audit trail, in order.
-- Who: ll_admin, with a token that may audit.read.
-- Promises: seals with a number of at least p_from, at most p_max. A denial is audited, warns LL002 and answers no row.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION audit.seals(p_token bytea, p_from bigint, p_max int)
RETURNS TABLE (number bigint, from_xid bigint, upto_xid bigint, rows int, digest bytea, previous bytea, link bytea,
               sealed_at bigint, signature bytea, key_id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    IF (accounts.authorise(p_token, 'audit.read')).session IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT s.number, s.from_xid, s.upto_xid, s.rows, s.digest, s.previous, s.link, s.sealed_at, s.signature, s.key_id
    FROM audit.seal s WHERE s.number >= p_from ORDER BY s.number LIMIT p_max;
END
$$;
ALTER FUNCTION audit.seals OWNER TO fn_audit;
REVOKE ALL ON FUNCTION audit.seals FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.seals TO ll_admin;
