-- ca.add_authority: an authority exists from now on.
-- Who: ll_admin, with a token that may ca.change.
-- Promises: 'done'; 'taken' when the organisation has one of that name, kind and generation; 'wrong-key' when p_key_id is no authority's
--   key of the public key p_spki; 'denied'. Its certificate was signed before. Audited. Its first list of revocations is due
--   at once.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.add_authority(
    p_token bytea, p_id uuid, p_organisation uuid, p_name text, p_kind text, p_generation int, p_parent uuid, p_label text, p_url text,
    p_der bytea, p_spki bytea, p_key_id uuid, p_not_after timestamptz
)
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
    IF NOT EXISTS (SELECT 1 FROM keyholder.private_key k WHERE k.id = p_key_id AND k.spki = p_spki AND k.use = 'authority') THEN
        RETURN 'wrong-key';
    END IF;
    INSERT INTO ca.authority (id, organisation, name, kind, generation, parent, label, url, der, key_id, not_after, crl_next, made_by,
                              made_at)
    VALUES (p_id, p_organisation, p_name, p_kind, p_generation, p_parent, p_label, p_url, p_der, p_key_id, p_not_after,
            'epoch', a.principal, statement_timestamp())
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'taken';
    END IF;
    PERFORM audit.write(a.principal, p_organisation, 'ca.add_authority', p_id, true,
        jsonb_build_object('name', p_name, 'kind', p_kind, 'generation', p_generation, 'fingerprint', encode(sha256(p_der), 'hex')));
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.add_authority OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.add_authority FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.add_authority TO ll_admin;
