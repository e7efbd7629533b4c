-- keyholder.seals: the seals, in order, to be compared with the keyholder's own file at start.
-- Who: ll_keyholder.
-- Promises: seals with a number of at least p_from, at most p_max. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.seals(p_from bigint, p_max int)
RETURNS TABLE (number bigint, from_xid bigint, upto_xid bigint, rows int, digest bytea, previous bytea, link bytea,
               sealed_at bigint, signature bytea, key_id text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.number, s.from_xid, s.upto_xid, s.rows, s.digest, s.previous, s.link, s.sealed_at, s.signature, s.key_id
    FROM audit.seal s WHERE s.number >= p_from ORDER BY s.number LIMIT p_max;
END
$$;
ALTER FUNCTION keyholder.seals OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.seals FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.seals TO ll_keyholder;
