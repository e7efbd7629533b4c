-- pki.export_told: the mail that tells of a private key's export is in the queue.
-- Who: ll_housekeeping.
-- Promises: once. Locks: the export's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.export_told(p_id uuid)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE pki.key_export e SET told_at = statement_timestamp() WHERE e.id = p_id AND e.told_at IS NULL;
END
$$;
ALTER FUNCTION pki.export_told OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.export_told FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.export_told TO ll_housekeeping;
