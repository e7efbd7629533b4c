-- ca.put_list: publish a list of revocations.
-- Who: ll_admin, with a token that may ca.change; ll_housekeeping.
-- Promises: 'done'; 'stale' when p_number is not the next one (somebody else was quicker); 'denied'. Audited. It is at hand for
--   our own decisions at once (pki.read_crls): a new revision. p_issuer: Certificate.subject_key of the authority.
-- Locks: the authority's row, the revision. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.put_list(
    p_token bytea, p_authority uuid, p_number bigint, p_crl bytea, p_issuer bytea, p_since timestamptz, p_next timestamptz,
    p_until timestamptz
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
    UPDATE ca.authority x SET crl = p_crl, crl_number = p_number, crl_issuer = p_issuer, crl_since = p_since,
        crl_next = p_next, crl_until = p_until
    WHERE x.id = p_authority AND x.crl_number = p_number - 1;
    IF NOT FOUND THEN
        RETURN 'stale';
    END IF;
    PERFORM policy.grow_revision();
    PERFORM audit.write(a.principal, a.organisation, 'ca.put_list', p_authority, true,
                        jsonb_build_object('number', p_number, 'sha256', encode(sha256(p_crl), 'hex')));
    RETURN 'done';
END
$$;
ALTER FUNCTION ca.put_list OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.put_list FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.put_list TO ll_admin, ll_housekeeping;
