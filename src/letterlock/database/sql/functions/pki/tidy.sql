-- pki.tidy: forget what nobody has asked for in 40 days, with what was fetched for it, and back-offs that are over.
-- Who: ll_housekeeping.
-- Promises: the number of things forgotten. May be run at any time, by several. Locks: what it deletes. Raises: nothing.
CREATE OR REPLACE FUNCTION pki.tidy() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v bigint;
BEGIN
    DELETE FROM pki.host_backoff b WHERE b.not_before < statement_timestamp() - interval '1 day';
    DELETE FROM pki.wanted w WHERE w.digest = ANY (ARRAY(
        SELECT x.digest FROM pki.wanted x WHERE x.wanted_at < statement_timestamp() - interval '40 days'
        ORDER BY x.wanted_at LIMIT 10000 FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v = ROW_COUNT;
    RETURN v;
END
$$;
ALTER FUNCTION pki.tidy OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.tidy FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.tidy TO ll_housekeeping;
