-- keyholder.store_token_key: keep a private key that is on the PKCS #11 token: its reference, wrapped, and its URI.
-- Who: ll_keyholder. p_role: the login role whose process asked; p_token: a person's, empty from housekeeping.
-- Promises: the id under which the key is kept: p_id, or the older one when the organisation has that key already; null when
--   denied. p_new: the key was made for this (a person needs ca.change, housekeeping may have keys of use 'mail' made only);
--   else it was on the token before and is for mail (keys.import); null too when it is known for another use. Audited,
--   durable.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.store_token_key(
    p_token bytea, p_role text, p_id uuid, p_organisation uuid, p_use text, p_wrapped bytea, p_spki bytea, p_algorithm text,
    p_token_uri text, p_new boolean
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_principal text;
    v_id uuid;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    IF p_role = 'll_housekeeping' THEN
        v_principal := CASE WHEN p_use = 'mail' AND p_new THEN 'housekeeping' END;
    ELSE
        SELECT a.principal INTO v_principal
        FROM accounts.authorise_for(p_token, CASE WHEN p_new THEN 'ca.change' ELSE 'keys.import' END, p_role) a
        WHERE a.session IS NOT NULL;
    END IF;
    IF v_principal IS NULL THEN
        RETURN NULL;
    END IF;
    IF (NOT p_new AND p_use <> 'mail')
       OR EXISTS (SELECT 1 FROM keyholder.private_key k WHERE k.spki = p_spki AND k.use <> p_use) THEN
        PERFORM audit.write(v_principal, p_organisation, 'keyholder.store_token_key', p_id, false,
                            jsonb_build_object('use', p_use, 'uri', p_token_uri, 'why', 'use'));
        RETURN NULL;
    END IF;
    INSERT INTO keyholder.private_key (id, organisation, wrapped, spki, algorithm, stored_at, stored_by, use, token_uri)
    VALUES (p_id, p_organisation, p_wrapped, p_spki, p_algorithm, statement_timestamp(), v_principal, p_use, p_token_uri)
    ON CONFLICT (organisation, spki) DO NOTHING;
    SELECT k.id INTO v_id FROM keyholder.private_key k WHERE k.organisation = p_organisation AND k.spki = p_spki;
    PERFORM audit.write(v_principal, p_organisation, 'keyholder.store_token_key', v_id, true,
                        jsonb_build_object('algorithm', p_algorithm, 'use', p_use, 'uri', p_token_uri, 'new', v_id = p_id));
    RETURN v_id;
END
$$;
ALTER FUNCTION keyholder.store_token_key OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.store_token_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.store_token_key TO ll_keyholder;
