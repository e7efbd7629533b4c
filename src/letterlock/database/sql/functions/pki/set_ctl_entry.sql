-- pki.set_ctl_entry: allow or forbid a certificate or a key, whatever its path says.
-- Who: ll_admin, with a token that may pki.change.
-- Promises: answer 'done' or 'denied', and the entry's id; the same action, by and digest again takes the place of the old
--   entry. p_digest: SHA-256 of the certificate (p_by 'thumbprint') or of its SubjectPublicKeyInfo ('spki'). Audited; the
--   revision grows. Locks: the entry's row, the revision. Raises: what the table's CHECKs raise.
CREATE OR REPLACE FUNCTION pki.set_ctl_entry(
    p_token bytea, p_id uuid, p_action text, p_by text, p_digest bytea, p_allow_expired boolean, p_reason text,
    p_until timestamptz, OUT answer text, OUT id uuid
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'pki.change');
    IF a.session IS NULL THEN
        answer := 'denied';
        RETURN;
    END IF;
    DELETE FROM pki.ctl t WHERE t.by = p_by AND t.digest = p_digest AND t.action = p_action;
    INSERT INTO pki.ctl (id, action, by, digest, allow_expired, reason, author, created_at, until)
    VALUES (p_id, p_action, p_by, p_digest, p_allow_expired, p_reason, a.principal, statement_timestamp(), p_until);
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'pki.set_ctl_entry', p_id, true, jsonb_build_object(
        'action', p_action, 'by', p_by, 'digest', encode(p_digest, 'hex'), 'allow_expired', p_allow_expired,
        'reason', p_reason, 'until', p_until));
    answer := 'done';
    id := p_id;
END
$$;
ALTER FUNCTION pki.set_ctl_entry OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.set_ctl_entry FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.set_ctl_entry TO ll_admin;
