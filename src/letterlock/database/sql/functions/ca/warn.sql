-- ca.warn: somebody is to be told by mail that a certificate ends in p_days days or less.
-- Who: ll_housekeeping.
-- Promises: each reader once for each certificate and step; flow mails it. p_mails: the mails' ids, one a reader. Audited.
--  Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION ca.warn(p_certificate uuid, p_days int, p_address text, p_contact text, p_recipients text[], p_mails uuid[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO ca.warning (certificate, days, recipient, address, contact, mail, due_at, warned_at)
    SELECT p_certificate, p_days, u.recipient, p_address, p_contact, u.mail, statement_timestamp(), statement_timestamp()
    FROM unnest(p_recipients, p_mails) AS u (recipient, mail)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM audit.write('housekeeping', NULL, 'ca.warn', p_certificate, true,
                            jsonb_build_object('address', p_address, 'days', p_days, 'recipients', p_recipients));
    END IF;
END
$$;
ALTER FUNCTION ca.warn OWNER TO fn_ca;
REVOKE ALL ON FUNCTION ca.warn FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ca.warn TO ll_housekeeping;
