-- pki.take_wanted: lease what is due to be fetched.
-- Who: ll_fetch.
-- Promises: at most p_max, the longest due first, of certificates of addresses or (p_of_address false) of all else, so that
--   neither waits for the other; two takers never get the same; what a dead taker held comes back when its
--   lease ends. A server in back-off is passed over, and so is what nobody has asked for during the last 30 days.
--   revision: of the settings at this moment.
--   Commits asynchronously: a lease lost in a crash is a take that never was.
-- Locks: the leased rows, skipping locked ones. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.take_wanted(p_max int, p_of_address boolean, p_lease_for interval)
RETURNS TABLE (digest bytea, lease uuid, kind text, name text, about bytea, host text, failures int,
               revision bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v_lease uuid := gen_random_uuid();
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH q AS MATERIALIZED (
        SELECT w.digest FROM pki.wanted w
        WHERE w.of_address = p_of_address AND w.due_at <= statement_timestamp() AND w.wanted_at > statement_timestamp() - interval '30 days'
          AND NOT EXISTS (SELECT 1 FROM pki.host_backoff b
                          WHERE b.host = w.host AND b.not_before > statement_timestamp())
        ORDER BY w.due_at LIMIT p_max FOR UPDATE OF w SKIP LOCKED
    )
    UPDATE pki.wanted w SET lease = v_lease, due_at = statement_timestamp() + p_lease_for
    WHERE w.digest = ANY (ARRAY(SELECT q.digest FROM q))
    RETURNING w.digest, w.lease, w.kind::text, w.name, w.about, w.host, w.failures,
              (SELECT r.revision FROM policy.revision r);
END
$$;
ALTER FUNCTION pki.take_wanted OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.take_wanted FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.take_wanted TO ll_fetch;
