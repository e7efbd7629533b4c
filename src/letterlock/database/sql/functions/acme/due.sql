-- acme.due: enrolments that can go on: an answer came, their time has come, or they have taken too long.
-- Who: ll_housekeeping.
-- Promises: of requests that are enrolling, at p_at, at most p_max, the longest due first. key, spki: the certificate's; account
--  and account_spki: of who signs. code null with fault null: nothing was asked. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION acme.due(p_at timestamptz, p_max int)
RETURNS TABLE (request uuid, organisation uuid, address text, csr bytea, key_id uuid, spki bytea, account uuid, account_spki bytea,
               directory text, state text, body jsonb, step int, ends_at timestamptz, answered_at timestamptz,
               reason text, code int, fields jsonb, answer bytea, fault text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.request, r.organisation, r.address, r.csr, r.key_id,
           (SELECT k.spki FROM keyholder.private_key k WHERE k.id = r.key_id), e.account,
           (SELECT k.spki FROM keyholder.private_key k WHERE k.id = e.account), e.directory, e.state, e.body, e.step,
           e.ends_at, e.answered_at, r.reason, e.code, e.fields, e.answer, e.fault
    FROM acme.enrolment e JOIN ca.request r ON r.id = e.request
    WHERE r.state = 'enrolling' AND (e.method = '' AND e.due_at <= p_at OR e.ends_at <= p_at)
    ORDER BY e.due_at, e.request LIMIT p_max;
END
$$;
ALTER FUNCTION acme.due OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.due TO ll_housekeeping;
