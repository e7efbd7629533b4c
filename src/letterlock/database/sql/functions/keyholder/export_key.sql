-- keyholder.export_key: a private key may leave, sealed in a file for its owner.
-- Who: ll_keyholder, with the token of an administrator (bound to ll_admin) that may keys.export.
-- Promises: the row is there only when the key is a mail key; never an authority's. Audited and durable before any key is
--   answered.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.export_key(p_token bytea, p_id uuid)
RETURNS TABLE (wrapped bytea, organisation uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT * INTO a FROM accounts.authorise_for(p_token, 'keys.export', 'll_admin');
    IF a.session IS NULL THEN
        RETURN;
    END IF;
    PERFORM audit.write(a.principal, a.organisation, 'keyholder.export_key', p_id,
        EXISTS (SELECT 1 FROM keyholder.private_key k WHERE k.id = p_id AND k.use = 'mail'), NULL);
    RETURN QUERY
    SELECT k.wrapped, k.organisation FROM keyholder.private_key k WHERE k.id = p_id AND k.use = 'mail';
END
$$;
ALTER FUNCTION keyholder.export_key OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.export_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.export_key TO ll_keyholder;
