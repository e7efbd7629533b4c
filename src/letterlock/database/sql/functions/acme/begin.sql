-- acme.begin: a request is to be carried out by ACME.
-- Who: ll_admin, with a token that may ca.change; ll_housekeeping.
-- Promises: 'done'; 'not-found' unless the request is due, of handler acme, has its key and its PKCS #10 request, and the
--  organisation has that account at the directory; 'foreign' when the address is not of an internal domain; 'denied'. What
--  an earlier attempt left is forgotten. Audited. Locks: the enrolment's row. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION acme.begin(
    p_token bytea, p_request uuid, p_account uuid, p_directory text, p_body jsonb, p_ends_at timestamptz
)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    a record;
    v_address text;
BEGIN
    SELECT * INTO a FROM ca.allow(p_token, 'ca.change');
    IF a.principal IS NULL THEN
        RETURN 'denied';
    END IF;
    SELECT r.address INTO v_address FROM ca.request r
    WHERE r.id = p_request AND r.state = 'due' AND r.handler = 'acme' AND r.key_id IS NOT NULL
      AND EXISTS (SELECT 1 FROM acme.account c WHERE c.organisation = r.organisation AND c.key_id = p_account
                  AND c.directory = p_directory);
    IF NOT FOUND THEN
        RETURN 'not-found';
    END IF;
    IF NOT ca.is_ours(v_address) THEN
        RETURN 'foreign';
    END IF;
    INSERT INTO acme.enrolment AS e (request, account, directory, state, body, step, due_at, ends_at, challenger, token, answers,
                                     method, url, kind, asked, fetch_at)
    VALUES (p_request, p_account, p_directory, 'directory', p_body, 0, statement_timestamp(), p_ends_at, '', '', '{}', '', '', '', '',
            statement_timestamp())
    ON CONFLICT (request) DO UPDATE SET account = p_account, directory = p_directory, state = 'directory', body = p_body,
        step = e.step + 1, due_at = statement_timestamp(), ends_at = p_ends_at, challenger = '', token = '',
        answers = '{}', answered_at = NULL, method = '',
        lease = NULL, code = NULL, fields = NULL, answer = NULL, fault = NULL;
    PERFORM audit.write(a.principal, a.organisation, 'acme.begin', p_request, true,
                        jsonb_build_object('address', v_address, 'directory', p_directory));
    RETURN 'done';
END
$$;
ALTER FUNCTION acme.begin OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.begin FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.begin TO ll_admin, ll_housekeeping;
