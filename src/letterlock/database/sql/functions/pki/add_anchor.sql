-- pki.add_anchor: trust a certificate as the end of paths.
-- Who: ll_admin, with a token that may pki.change.
-- Promises: 'done', 'already', 'not-found' or 'denied'. Audited; the revision grows.
-- Locks: the anchor's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.add_anchor(p_token bytea, p_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_fingerprint bytea;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'pki.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT c.fingerprint INTO v_fingerprint FROM pki.certificate c WHERE c.id = p_id;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    INSERT INTO pki.anchor (certificate, added_by, added_at) VALUES (p_id, a.principal, statement_timestamp())
    ON CONFLICT (certificate) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'already';
    END IF;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'pki.add_anchor', p_id, true,
                        jsonb_build_object('fingerprint', encode(v_fingerprint, 'hex')));
    RETURN 'done';
END
$$;
ALTER FUNCTION pki.add_anchor OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.add_anchor FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.add_anchor TO ll_admin;
