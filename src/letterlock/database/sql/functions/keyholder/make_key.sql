-- keyholder.make_key: keep a private key that the keyholder made.
-- Who: ll_keyholder. p_role: the login role whose process asked; p_token: a person's, empty from housekeeping.
-- Promises: true; false when denied: a person needs ca.change, housekeeping may have keys of the uses 'mail' and 'account' made only. Audited,
--   durable.
-- Locks: nothing. Raises: 23505 when the id is known.
CREATE OR REPLACE FUNCTION keyholder.make_key(
    p_token bytea, p_role text, p_id uuid, p_organisation uuid, p_use text, p_wrapped bytea, p_spki bytea, p_algorithm text
)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v_principal text;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    IF p_role = 'll_housekeeping' THEN
        v_principal := CASE WHEN p_use IN ('mail', 'account') THEN 'housekeeping' END;
    ELSE
        SELECT a.principal INTO v_principal FROM accounts.authorise_for(p_token, 'ca.change', p_role) a
        WHERE a.session IS NOT NULL;
    END IF;
    IF v_principal IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO keyholder.private_key (id, organisation, wrapped, spki, algorithm, stored_at, stored_by, use)
    VALUES (p_id, p_organisation, p_wrapped, p_spki, p_algorithm, statement_timestamp(), v_principal, p_use);
    PERFORM audit.write(v_principal, p_organisation, 'keyholder.make_key', p_id, true,
                        jsonb_build_object('algorithm', p_algorithm, 'use', p_use));
    RETURN true;
END
$$;
ALTER FUNCTION keyholder.make_key OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.make_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.make_key TO ll_keyholder;
