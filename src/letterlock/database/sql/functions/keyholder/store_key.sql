-- keyholder.store_key: keep a user's private key, wrapped under the organisation's permanent key.
-- Who: ll_keyholder, with the token of an administrator (bound to ll_admin) that may keys.import.
-- Promises: the id under which the key is kept: p_id, or the older one when the organisation has that key already; null when
--   denied. Audited, durable at commit. p_spki: the SubjectPublicKeyInfo, DER.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.store_key(
    p_token bytea, p_id uuid, p_organisation uuid, p_wrapped bytea, p_spki bytea, p_algorithm text
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_id uuid;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT * INTO a FROM accounts.authorise_for(p_token, 'keys.import', 'll_admin');
    IF a.session IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO keyholder.private_key (id, organisation, wrapped, spki, algorithm, stored_at, stored_by)
    VALUES (p_id, p_organisation, p_wrapped, p_spki, p_algorithm, statement_timestamp(), a.principal)
    ON CONFLICT (organisation, spki) DO NOTHING;
    SELECT k.id INTO v_id FROM keyholder.private_key k WHERE k.organisation = p_organisation AND k.spki = p_spki;
    PERFORM audit.write(a.principal, p_organisation, 'keys.import', v_id, true,
                        jsonb_build_object('algorithm', p_algorithm, 'new', v_id = p_id));
    RETURN v_id;
END
$$;
ALTER FUNCTION keyholder.store_key OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.store_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.store_key TO ll_keyholder;
