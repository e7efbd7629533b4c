-- pki.remove_ctl_entry: take an entry off the trust list.
-- Who: ll_admin, with a token that may pki.change.
-- Promises: 'done', 'not-found' or 'denied'. Audited with what it said; the revision grows.
-- Locks: the entry's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.remove_ctl_entry(p_token bytea, p_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    t record;
BEGIN
    SELECT * INTO a FROM accounts.authorise(p_token, 'pki.change');
    IF a.session IS NULL THEN
        RETURN 'denied';
    END IF;
    DELETE FROM pki.ctl x WHERE x.id = p_id RETURNING x.action, x.by AS means, x.digest INTO t;
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'pki.remove_ctl_entry', p_id, true,
                        jsonb_build_object('action', t.action, 'by', t.means, 'digest', encode(t.digest, 'hex')));
    RETURN 'done';
END
$$;
ALTER FUNCTION pki.remove_ctl_entry OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.remove_ctl_entry FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.remove_ctl_entry TO ll_admin;
