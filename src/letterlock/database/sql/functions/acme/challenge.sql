-- acme.challenge: is a challenge mail from p_challenger to p_address waited for?
-- Who: ll_flow, for a mail that looks like one.
-- Promises: of each enrolment of the address that has not come beyond its challenge: the token's other part, empty while the
--  server has not named it yet, and the account's public key; only those whose server named p_challenger, or nobody yet.
--  Addresses are compared in lower case. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION acme.challenge(p_address text, p_challenger text)
RETURNS TABLE (request uuid, token text, account_spki bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.request, e.token, (SELECT k.spki FROM keyholder.private_key k WHERE k.id = e.account)
    FROM acme.enrolment e JOIN ca.request r ON r.id = e.request
    WHERE r.state = 'enrolling' AND lower(r.address) = lower(p_address)
      AND (e.token <> '' AND lower(e.challenger) = lower(p_challenger) AND e.state IN ('challenge', 'proving')
           OR e.token = '' AND e.state IN ('order', 'challenge'));
END
$$;
ALTER FUNCTION acme.challenge OWNER TO fn_acme;
REVOKE ALL ON FUNCTION acme.challenge FROM PUBLIC;
GRANT EXECUTE ON FUNCTION acme.challenge TO ll_flow;
