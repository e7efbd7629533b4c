-- ca.set_profile: keep a profile under its name.
-- Who: ll_admin, with a token that may ca.change. The body was checked before it came here.
-- Promises: 'done' or 'denied'. Audited. Locks: the profile's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.set_profile(p_token bytea, p_organisation uuid, p_name text, p_body jsonb)
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
    INSERT INTO ca.profile AS p (organisation, name, body, set_by, set_at)
    VALUES (p_organisation, p_name, p_body, a.principal, statement_timestamp())
    ON CONFLICT (organisation, name) DO UPDATE SET body = p_body, set_by = a.principal, set_at = statement_timestamp();
    PERFORM audit.write(a.principal, p_organisation, 'ca.set_profile', NULL, true,
                        jsonb_build_object('name', p_name, 'body', p_body));
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.set_profile OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.set_profile FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.set_profile TO ll_admin;
