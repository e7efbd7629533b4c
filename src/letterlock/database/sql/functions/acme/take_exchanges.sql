-- acme.take_exchanges: lease what is to be said to ACME servers.
-- Who: ll_fetch.
-- Promises: at most p_max, the longest due first; two takers never get the same; what a dead taker held comes back when its lease
--  ends. revision: of the settings at this moment. Locks: the leased rows, skipping locked ones. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION acme.take_exchanges(p_max int, p_lease_for interval)
RETURNS TABLE (request uuid, lease uuid, method text, url text, kind text, asked bytea, revision bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v_lease uuid := gen_random_uuid();
BEGIN
    RETURN QUERY
    WITH q AS MATERIALIZED (
        SELECT e.request FROM acme.enrolment e WHERE e.method <> '' AND e.fetch_at <= statement_timestamp()
        ORDER BY e.fetch_at LIMIT p_max FOR UPDATE SKIP LOCKED
    )
    UPDATE acme.enrolment e SET lease = v_lease, fetch_at = statement_timestamp() + p_lease_for
    WHERE e.request = ANY (ARRAY(SELECT q.request FROM q))
    RETURNING e.request, e.lease, e.method, e.url, e.kind, e.asked, (SELECT r.revision FROM policy.revision r);
END
$$;
ALTER FUNCTION acme.take_exchanges OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.take_exchanges FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.take_exchanges TO ll_fetch;
