-- ca.take_warnings: lease warnings that are to be mailed.
-- Who: ll_flow.
-- Promises: at most p_max, the longest due first; what a dead taker held comes back when its lease ends. handler, open, open_state: as
--  ca.ending has them, at this moment. One whose certificate is gone is forgotten.
--  Locks: the leased rows, skipping locked ones. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.take_warnings(p_max int, p_lease_for interval)
RETURNS TABLE (mail uuid, recipient text, address text, contact text, subject text, issuer text, fingerprint bytea,
               not_after timestamptz, handler text, open uuid, open_state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH q AS MATERIALIZED (
        SELECT w.mail FROM ca.warning w WHERE w.mailed_at IS NULL AND w.due_at <= statement_timestamp()
        ORDER BY w.due_at LIMIT p_max FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE ca.warning w SET due_at = statement_timestamp() + p_lease_for,
            mailed_at = CASE WHEN NOT EXISTS (SELECT 1 FROM pki.certificate c WHERE c.id = w.certificate)
                             THEN statement_timestamp() END
        WHERE w.mail = ANY (ARRAY(SELECT q.mail FROM q))
        RETURNING w.mail, w.recipient, w.address, w.contact, w.certificate
    )
    SELECT t.mail, t.recipient, t.address, t.contact, c.subject, c.issuer, c.fingerprint, c.not_after,
           CASE WHEN EXISTS (SELECT 1 FROM ca.issued i WHERE i.certificate = c.id) THEN 'builtin'
                ELSE coalesce((SELECT r.handler FROM ca.request r WHERE r.issued = c.id ORDER BY r.requested_at DESC LIMIT 1), '')
           END, o.id, o.state
    FROM taken t JOIN pki.certificate c ON c.id = t.certificate
    LEFT JOIN LATERAL (SELECT q.id, q.state FROM ca.request q WHERE q.address = t.address
                       AND q.state IN ('due', 'approval', 'certificate', 'enrolling') LIMIT 1) o ON true;
END
$$;
ALTER FUNCTION ca.take_warnings OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.take_warnings FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.take_warnings TO ll_flow;
