-- vault.unknown_contents: which of these ids belong to no content any more?
-- Who: ll_housekeeping, which sweeps segment files.
-- Promises: the ids without a row. The caller asks only about files older than an upload can take.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION vault.unknown_contents(p_ids uuid[]) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN QUERY
    SELECT u.id FROM unnest(p_ids) AS u (id)
    WHERE NOT EXISTS (SELECT 1 FROM queue.message m WHERE m.id = u.id)
      AND NOT EXISTS (SELECT 1 FROM queue.delivery y WHERE y.id = u.id);
END
$$;
ALTER FUNCTION vault.unknown_contents OWNER TO fn_vault;
REVOKE ALL ON FUNCTION vault.unknown_contents FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.unknown_contents TO ll_housekeeping;
