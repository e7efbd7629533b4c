-- queue.claim_deliveries: lease deliveries that are due, with their sealed content.
-- Who: ll_deliver.
-- Promises: as queue.lease; a domain in back-off is passed over. The commit is synchronous when there is anything.
-- Locks: the leased rows of queue.due. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.claim_deliveries(p_max int, p_octets bigint, p_lease_for interval, p_worker uuid)
RETURNS TABLE (id uuid, lease uuid, attempts int, message_id uuid, method text, direction text, domain text,
               next_hop text, tls_min smallint, accepted_at timestamptz, expires_at timestamptz, delayed boolean,
               size bigint, segments int, session uuid, day date, commitment bytea, envelope bytea, manifest bytea,
               body bytea, recipients text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO v FROM queue.lease(2, p_max, p_octets, p_lease_for, p_worker);
    IF v.ids IS NOT NULL THEN
        PERFORM set_config('synchronous_commit', 'on', true); -- as in queue.turn
        RETURN QUERY SELECT * FROM queue.read_deliveries(v.lease, v.ids);
    END IF;
END
$$;
ALTER FUNCTION queue.claim_deliveries OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.claim_deliveries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.claim_deliveries TO ll_deliver;
