-- policy.remove_domain: forget a domain.
-- Who: ll_admin, with a token that may policy.change.
-- Promises: 'done', 'not-found' or 'denied'; its settings stay, for it may come back. Audited; the revision grows.
-- Locks: the domain's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.remove_domain(p_token bytea, p_name text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_organisation uuid;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'policy.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    DELETE FROM policy.domain d WHERE d.name = p_name RETURNING d.organisation INTO v_organisation;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, v_organisation, 'policy.remove_domain', NULL, true,
                        jsonb_build_object('domain', p_name));
    RETURN 'done';
END
$$;
ALTER FUNCTION policy.remove_domain OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.remove_domain FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.remove_domain TO ll_admin;
