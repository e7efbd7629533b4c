-- keyholder.take_order: use an order to sign, once, before anything is signed.
-- Who: ll_keyholder. p_role: the login role whose process asks; p_token: a person's, empty from housekeeping.
-- Promises: one statement checks that the order is at most ten seconds old and not used, that it is p_role's, and that a
--   person's session is the token's and alive; and marks it used. The row is there only then. Taken and refused are both
--   audited, durable.
-- Locks: the order's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.take_order(p_order uuid, p_token bytea, p_role text)
RETURNS TABLE (kind text, key_id uuid, organisation uuid, wrapped bytea, tbs bytea, issuer bytea, address text, spki bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    g record;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE ca.signing_order o SET taken_at = statement_timestamp()
    WHERE o.id = p_order AND o.taken_at IS NULL AND o.made_at > statement_timestamp() - interval '10 seconds'
      AND o.role = p_role
      AND CASE WHEN o.session IS NULL THEN p_role = 'll_housekeeping'
               ELSE EXISTS (SELECT 1 FROM accounts.session a
                            WHERE a.id = o.session AND a.token_hash = sha256(p_token) AND a.role = o.role AND a.ended_at IS NULL
                              AND a.expires_at > statement_timestamp() AND a.used_at + a.idle > statement_timestamp()
                              AND 'ca.change' = ANY (a.permissions)) END
    RETURNING o.kind, o.key_id, o.issuer, o.address, o.request_key, o.tbs INTO g;
    IF NOT FOUND THEN
        PERFORM audit.write(NULL, NULL, 'keyholder.take_order', p_order, false, jsonb_build_object('role', p_role));
        RETURN;
    END IF;
    PERFORM audit.write(NULL, NULL, 'keyholder.take_order', p_order, true,
                        jsonb_build_object('role', p_role, 'kind', g.kind, 'key', g.key_id));
    RETURN QUERY
    SELECT g.kind, g.key_id, k.organisation, k.wrapped, g.tbs, g.issuer, g.address,
           (SELECT m.spki FROM keyholder.private_key m WHERE m.id = g.request_key)
    FROM keyholder.private_key k
    WHERE k.id = g.key_id AND k.use = CASE g.kind WHEN 'request' THEN 'mail' WHEN 'acme' THEN 'account' ELSE 'authority' END;
END
$$;
ALTER FUNCTION keyholder.take_order OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.take_order FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.take_order TO ll_keyholder;
