-- acme.add_account: an organisation's account at a directory has this key from now on.
-- Who: ll_admin, with a token that may ca.change; ll_housekeeping.
-- Promises: 'done'; 'already' when it has one (another was quicker); 'wrong-key' when the key is not one for accounts; 'denied'.
--  Audited. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION acme.add_account(p_token bytea, p_organisation uuid, p_directory text, p_key_id uuid)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
BEGIN
    SELECT * INTO a FROM ca.allow(p_token, 'ca.change');
    IF a.principal IS NULL THEN
        RETURN 'denied';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM keyholder.private_key k WHERE k.id = p_key_id AND k.use = 'account') THEN
        RETURN 'wrong-key';
    END IF;
    INSERT INTO acme.account (organisation, directory, key_id, made_by, made_at)
    VALUES (p_organisation, p_directory, p_key_id, a.principal, statement_timestamp())
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'already';
    END IF;
    PERFORM audit.write(a.principal, p_organisation, 'acme.add_account', p_key_id, true,
                        jsonb_build_object('directory', p_directory));
    RETURN 'done';
END
$$;
ALTER FUNCTION acme.add_account OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.add_account FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.add_account TO ll_admin, ll_housekeeping;
