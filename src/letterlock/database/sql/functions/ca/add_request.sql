-- ca.add_request: somebody is to get a certificate.
-- Who: ll_admin, with a token that may ca.change; ll_housekeeping (sources automatic and renewal only).
-- Promises: answer 'done'; 'already' with the id of the open request for that address; 'denied'. handler delayed waits for
--   approval, all others are due at once. Audited.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.add_request(
    p_token bytea, p_id uuid, p_organisation uuid, p_handler text, p_authority text, p_profile text, p_address text,
    p_name text, p_source text, OUT answer text, OUT id uuid
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
BEGIN
    SELECT * INTO a FROM ca.allow(p_token, 'ca.change');
    IF a.principal IS NULL OR (a.session IS NULL AND p_source = 'person') THEN
        answer := 'denied';
        RETURN;
    END IF;
    INSERT INTO ca.request (id, organisation, handler, authority, profile, address, name, source, state, due_at,
                            requested_by, requested_at)
    VALUES (p_id, coalesce(p_organisation, a.organisation), p_handler, p_authority, p_profile, p_address, p_name, p_source,
            CASE p_handler WHEN 'delayed' THEN 'approval' ELSE 'due' END, statement_timestamp(), a.principal,
            statement_timestamp())
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        answer := 'done';
        id := p_id;
        PERFORM audit.write(a.principal, coalesce(p_organisation, a.organisation), 'ca.add_request', p_id, true,
            jsonb_build_object('address', p_address, 'handler', p_handler, 'source', p_source));
    ELSE
        answer := 'already';
        SELECT r.id INTO id FROM ca.request r
        WHERE r.organisation = coalesce(p_organisation, a.organisation) AND r.address = p_address
          AND r.state IN ('due', 'approval', 'certificate', 'enrolling');
    END IF;
END
$$;
ALTER FUNCTION ca.add_request OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.add_request FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.add_request TO ll_admin, ll_housekeeping;
