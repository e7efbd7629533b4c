-- keyholder.store_seal: put the next seal on the audit trail.
-- Who: ll_keyholder.
-- Promises: true, durable at commit; false when it does not follow the last one (number, from_xid, previous), and then nothing
--   is stored: there is one chain and one writer.
-- Locks: nothing. Raises: 23505 when two writers try the same number.
CREATE OR REPLACE FUNCTION keyholder.store_seal(
    p_number bigint, p_from_xid bigint, p_upto_xid bigint, p_rows int, p_digest bytea, p_previous bytea, p_link bytea,
    p_sealed_at bigint, p_signature bytea, p_key_id text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v record;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT s.number, s.upto_xid, s.link INTO v FROM audit.seal s ORDER BY s.number DESC LIMIT 1;
    IF p_number <> coalesce(v.number, 0) + 1 OR p_from_xid <> coalesce(v.upto_xid, 0)
       OR p_previous <> coalesce(v.link, ''::bytea) OR p_upto_xid <= p_from_xid THEN
        RETURN false;
    END IF;
    INSERT INTO audit.seal (number, from_xid, upto_xid, rows, digest, previous, link, sealed_at, signature, key_id)
    VALUES (p_number, p_from_xid, p_upto_xid, p_rows, p_digest, p_previous, p_link, p_sealed_at, p_signature, p_key_id);
    RETURN true;
END
$$;
ALTER FUNCTION keyholder.store_seal OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.store_seal FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.store_seal TO ll_keyholder;
