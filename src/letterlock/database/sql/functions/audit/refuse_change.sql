-- audit.refuse_change: the trigger that keeps the audit trail append-only, against its owner's mistakes too.
-- Who: nobody calls it; triggers do. fn_partition may name it, since a new day inherits the trigger.
-- Promises: no row of audit.entry is updated or deleted while the trigger stands. Days leave as whole partitions.
-- Locks: nothing. Raises: 42501.
CREATE OR REPLACE FUNCTION audit.refuse_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = '42501';
END
$$;
DROP TRIGGER IF EXISTS append_only ON audit.entry;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit.entry
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
DROP TRIGGER IF EXISTS no_truncate ON audit.entry;
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit.entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER FUNCTION audit.refuse_change OWNER TO fn_audit;
REVOKE ALL ON FUNCTION audit.refuse_change FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.refuse_change TO fn_partition;
