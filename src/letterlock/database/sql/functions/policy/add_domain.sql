-- policy.add_domain: make a domain known, or change what is known of it.
-- Who: ll_admin, with a token that may policy.change.
-- Promises: 'done' (added or changed), 'already' (as it was), 'denied', or 'not-found' (no such organisation; null: the default
--   one). p_name in lower-case A-label form. Audited; the revision grows.
-- Locks: the domain's row, the revision. Raises: 23514 for a name not in lower case.
CREATE OR REPLACE FUNCTION policy.add_domain(p_token bytea, p_name text, p_internal boolean, p_organisation uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_organisation uuid;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'policy.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT o.id INTO v_organisation FROM policy.organisation o
    WHERE o.id = p_organisation OR (p_organisation IS NULL AND o.name = 'default');
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    PERFORM 1 FROM policy.domain d
    WHERE d.name = p_name AND d.internal = p_internal AND d.organisation = v_organisation;
    IF FOUND THEN
        RETURN 'already';
    END IF;
    PERFORM policy.grow_revision();
    INSERT INTO policy.domain (name, internal, organisation, added_by, added_at)
    VALUES (p_name, p_internal, v_organisation, a.principal, statement_timestamp())
    ON CONFLICT (name) DO UPDATE SET internal = excluded.internal, organisation = excluded.organisation;
    PERFORM audit.write(a.principal, v_organisation, 'policy.add_domain', NULL, true,
                        jsonb_build_object('domain', p_name, 'internal', p_internal));
    RETURN 'done';
END
$$;
ALTER FUNCTION policy.add_domain OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.add_domain FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.add_domain TO ll_admin;
