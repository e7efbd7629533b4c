-- queue.claim_messages: lease messages that are due, with their sealed content, for the flow.
-- Who: ll_flow.
-- Promises: as queue.lease. recipients: those not yet decided, or held; mandatory: those of them for whom an earlier
--   decision demanded encryption. revision: of the settings at this moment.
--   The commit is synchronous when there is anything: what is claimed may be sent before the next commit, and must not be
--   claimed again by another flow after a crash.
-- Locks: the leased rows of queue.due. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.claim_messages(p_max int, p_octets bigint, p_lease_for interval, p_worker uuid)
RETURNS TABLE (id uuid, lease uuid, state text, attempts int, accepted_at timestamptz, released_by text, size bigint,
               segments int, session uuid, day date, commitment bytea, envelope bytea, manifest bytea, body bytea,
               recipients text[], mandatory text[], revision bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO v FROM queue.lease(1, p_max, p_octets, p_lease_for, p_worker);
    IF v.ids IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'on', true);
    RETURN QUERY
    SELECT m.id, v.lease, m.state::text, (SELECT d.attempts FROM queue.due d WHERE d.id = m.id), m.accepted_at, m.released_by, m.size, m.segments, m.session, m.day,
           m.commitment, m.envelope, m.manifest, m.body,
           ARRAY(SELECT r.address FROM queue.recipient r
                 WHERE r.owner = m.id AND r.state IN ('pending', 'held') ORDER BY r.n),
           ARRAY(SELECT r.address FROM queue.recipient r
                 WHERE r.owner = m.id AND r.mandatory AND r.state IN ('pending', 'held') ORDER BY r.n),
           (SELECT r.revision FROM policy.revision r)
    FROM queue.message m WHERE m.id = ANY (v.ids);
END
$$;
ALTER FUNCTION queue.claim_messages OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.claim_messages FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.claim_messages TO ll_flow;
