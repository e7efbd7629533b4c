-- queue.request_open: step one of looking into a held message, or at the trace of any: ask, and be written down.
-- Who: ll_admin, with a token that may queue.open.
-- Promises: a grant for the keyholder to take once within ten seconds; or null. Either way an audit row, durable at commit.
--   p_purpose 'trace' asks for the trace of a message, gone or not; any other word for the content of a held message.
--   A refusal is an answer, not an exception: an exception would take its audit row with it.
-- Locks: the session's row (its budget of openings). Raises: nothing of its own.
CREATE OR REPLACE FUNCTION queue.request_open(p_token bytea, p_id uuid, p_purpose text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    a record;
    v_grant uuid;
    v_why text;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT * INTO a FROM accounts.authorise(p_token, 'queue.open');
    IF a.session IS NULL THEN
        RETURN NULL;
    END IF;
    IF p_purpose = 'trace' THEN
        IF NOT EXISTS (SELECT 1 FROM queue.trace t WHERE t.message = p_id AND t.trace IS NOT NULL) THEN
            v_why := 'not-found';
        END IF;
    ELSIF NOT EXISTS (SELECT 1 FROM queue.message m WHERE m.id = p_id AND m.state = 'held') THEN
        v_why := 'not-held';
    END IF;
    IF v_why IS NULL AND NOT accounts.spend_opening(a.session) THEN
        v_why := 'budget';
    END IF;
    IF v_why IS NULL THEN
        v_grant := gen_random_uuid();
        INSERT INTO queue.open_grant (id, session, role, object, purpose, made_at)
        VALUES (v_grant, a.session, session_user, p_id, p_purpose, statement_timestamp());
    END IF;
    PERFORM audit.write(a.principal, a.organisation, 'queue.open', p_id, v_grant IS NOT NULL,
                        jsonb_strip_nulls(jsonb_build_object('purpose', p_purpose, 'grant', v_grant, 'why', v_why)));
    RETURN v_grant;
END
$$;
ALTER FUNCTION queue.request_open OWNER TO fn_queue;
REVOKE ALL ON FUNCTION queue.request_open FROM PUBLIC;
GRANT EXECUTE ON FUNCTION queue.request_open TO ll_admin;
