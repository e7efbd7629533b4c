-- pki.tie: use a certificate for a user, a domain or the domains below one, whatever addresses it has.
-- Who: ll_admin, with a token that may pki.change.
-- Promises: 'done', 'already', 'not-found' or 'denied'. p_scope: user@domain, domain or *.domain in match form. pki.candidates
--   finds it under '@' || p_scope. Audited; the revision grows. Locks: the row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.tie(p_token bytea, p_id uuid, p_scope text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'pki.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pki.certificate c WHERE c.id = p_id) THEN
        RETURN 'not-found';
    END IF;
    INSERT INTO pki.address (address, certificate, tied_by, tied_at)
    VALUES ('@' || p_scope, p_id, a.principal, statement_timestamp())
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'already';
    END IF;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'pki.tie', p_id, true, jsonb_build_object('scope', p_scope));
    RETURN 'done';
END
$$;
ALTER FUNCTION pki.tie OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.tie FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.tie TO ll_admin;
