-- ca.warned: an administrator was told that a certificate ends soon.
-- Who: ll_housekeeping.
-- Promises: once; the audit row is what 'letterlock audit list' shows. Locks: the certificate's row. Raises: nothing of its
--   own.
CREATE OR REPLACE FUNCTION ca.warned(p_id uuid)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    UPDATE ca.issued i SET warned_at = statement_timestamp() WHERE i.id = p_id AND i.warned_at IS NULL;
    IF FOUND THEN
        PERFORM audit.write('housekeeping', NULL, 'ca.warned', p_id, true,
            (SELECT jsonb_build_object('address', i.address, 'not_after', i.not_after) FROM ca.issued i WHERE i.id = p_id));
    END IF;
END
$$;
ALTER FUNCTION ca.warned OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.warned FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.warned TO ll_housekeeping;
