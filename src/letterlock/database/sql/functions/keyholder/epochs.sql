-- keyholder.epochs: every epoch the database knows, destroyed or not.
-- Who: ll_keyholder.
-- Promises: one row an epoch, by day. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.epochs() RETURNS TABLE (id uuid, class text, day date, destroyed_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT e.id, e.class, e.day, e.destroyed_at FROM keyholder.epoch e ORDER BY e.day, e.id;
END
$$;
ALTER FUNCTION keyholder.epochs OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.epochs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.epochs TO ll_keyholder;
