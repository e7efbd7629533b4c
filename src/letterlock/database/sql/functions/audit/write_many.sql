-- audit.write_many: a row for each object of a batch, in the caller's transaction.
-- Who: the definer roles only.
-- Promises: as audit.write; the three arrays are of one length. For what a station did (no person, no organisation).
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION audit.write_many(p_actions text[], p_objects uuid[], p_details jsonb[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO audit.entry (day, xid, id, at, db_role, action, object, ok, detail)
    SELECT (statement_timestamp() AT TIME ZONE 'UTC')::date, pg_current_xact_id(), gen_random_uuid(),
           statement_timestamp(), session_user, u.action, u.object, true, u.detail
    FROM unnest(p_actions, p_objects, p_details) AS u (action, object, detail);
END
$$;
ALTER FUNCTION audit.write_many OWNER TO fn_audit;
REVOKE ALL ON FUNCTION audit.write_many FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.write_many TO fn_queue;
