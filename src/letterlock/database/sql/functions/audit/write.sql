-- audit.write: one row in the audit trail, in the caller's transaction.
-- Who: the definer roles only.
-- Promises: the row names the login role that asked; it is there if and only if what it tells of is.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION audit.write(
    p_principal text, p_organisation uuid, p_action text, p_object uuid, p_ok boolean, p_detail jsonb
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO audit.entry (day, xid, id, at, db_role, principal, organisation, action, object, ok, detail)
    VALUES ((statement_timestamp() AT TIME ZONE 'UTC')::date, pg_current_xact_id(), gen_random_uuid(),
            statement_timestamp(), session_user, p_principal, p_organisation, p_action, p_object, p_ok, p_detail);
END
$$;
ALTER FUNCTION audit.write OWNER TO fn_audit;
REVOKE ALL ON FUNCTION audit.write FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.write TO fn_queue, fn_policy, fn_pki, fn_accounts, fn_keyholder, fn_ca, fn_acme;
