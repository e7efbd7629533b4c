-- keyholder.export_key: a private key may leave, sealed in a file.
-- Who: ll_keyholder, with the token of an administrator (bound to ll_admin) that may keys.export.
-- Promises: one row with the answer; the key only when it is 'done': it is a mail key, not on a token ('on-token'), a reason is
--   given ('no-reason'), and the person proved who they are within five minutes ('not-fresh'). Else 'not-found'. In the same
--   transaction: the audit row with the reason, and what its owner and postmaster are told of (pki.exports_untold). Durable
--   before any key is answered. No row when denied.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.export_key(p_token bytea, p_id uuid, p_reason text)
RETURNS TABLE (answer text, wrapped bytea, organisation uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
    k record;
    v_addresses text[];
    v_answer text;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT * INTO a FROM accounts.authorise_for(p_token, 'keys.export', 'll_admin');
    IF a.session IS NULL THEN
        RETURN;
    END IF;
    SELECT m.wrapped, m.organisation, m.token_uri INTO k
    FROM keyholder.private_key m WHERE m.id = p_id AND m.use = 'mail';
    v_answer := CASE
        WHEN NOT FOUND THEN 'not-found'
        WHEN k.token_uri IS NOT NULL THEN 'on-token'
        WHEN btrim(p_reason) = '' THEN 'no-reason'
        WHEN NOT EXISTS (SELECT 1 FROM accounts.session s
                         WHERE s.id = a.session AND s.made_at > statement_timestamp() - interval '5 minutes') THEN 'not-fresh'
        ELSE 'done' END;
    v_addresses := ARRAY(SELECT DISTINCT d.address FROM pki.certificate c JOIN pki.address d ON d.certificate = c.id
                         WHERE c.key_id = p_id AND left(d.address, 1) <> '@' ORDER BY d.address);
    PERFORM audit.write(a.principal, a.organisation, 'keyholder.export_key', p_id, v_answer = 'done',
                        jsonb_build_object('reason', p_reason, 'answer', v_answer, 'addresses', v_addresses));
    IF v_answer = 'done' THEN
        INSERT INTO pki.key_export (id, key_id, organisation, principal, reason, addresses, exported_at)
        VALUES (gen_random_uuid(), p_id, k.organisation, a.principal, p_reason, v_addresses, statement_timestamp());
        RETURN QUERY SELECT v_answer, k.wrapped, k.organisation;
    ELSE
        RETURN QUERY SELECT v_answer, NULL::bytea, NULL::uuid;
    END IF;
END
$$;
ALTER FUNCTION keyholder.export_key OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.export_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.export_key TO ll_keyholder;
