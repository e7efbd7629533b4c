-- types.sql: the words for states, as domains over text.
-- Run by: migrate, as ll_owner, whenever this file changed; idempotent.
-- The words are those of queue/message.py, pki/wanted.py and policy; tests compare. A word is added here, never removed while rows hold it.

DO $$
DECLARE
    d text;
BEGIN
    FOREACH d IN ARRAY ARRAY['queue.message_state', 'queue.recipient_state', 'queue.delivery_state', 'policy.level',
                             'pki.wanted_kind', 'pki.wanted_answer', 'pki.fetched_origin'] LOOP
        IF pg_catalog.to_regtype(d) IS NULL THEN
            EXECUTE 'CREATE DOMAIN ' || d || ' AS text';
        END IF;
    END LOOP;
END
$$;

-- receiving: segments are being written, no row yet. received: committed, flow's turn. held: waits for an administrator or
-- the end of hold_life. gone: the row left with queue.advance.
ALTER DOMAIN queue.message_state DROP CONSTRAINT IF EXISTS words;
ALTER DOMAIN queue.message_state ADD CONSTRAINT words CHECK (VALUE IN ('receiving', 'received', 'held', 'gone'));

-- pending: not yet decided or not yet delivered. held: not to be sent as it is. The others are final: the row leaves.
ALTER DOMAIN queue.recipient_state DROP CONSTRAINT IF EXISTS words;
ALTER DOMAIN queue.recipient_state ADD CONSTRAINT words
    CHECK (VALUE IN ('pending', 'delivered', 'failed', 'held', 'deposited', 'refused', 'answered'));

-- due: waits for its time. leased: an agent tries. delivered, failed: over, the row leaves with queue.settle.
ALTER DOMAIN queue.delivery_state DROP CONSTRAINT IF EXISTS words;
ALTER DOMAIN queue.delivery_state ADD CONSTRAINT words CHECK (VALUE IN ('due', 'leased', 'delivered', 'failed'));

-- Later words win over earlier ones; factory values are in policy/settings, not in the database.
ALTER DOMAIN policy.level DROP CONSTRAINT IF EXISTS words;
ALTER DOMAIN policy.level ADD CONSTRAINT words
    CHECK (VALUE IN ('gateway', 'organisation', 'wildcard', 'domain', 'user'));

-- What can be missing: a CRL or an issuer's certificate at a URL, an OCSP answer, certificates of an address.
ALTER DOMAIN pki.wanted_kind DROP CONSTRAINT IF EXISTS words;
ALTER DOMAIN pki.wanted_kind ADD CONSTRAINT words CHECK (VALUE IN ('crl', 'ocsp', 'issuer', 'directory', 'smimea'));

-- found: it is stored. absent: who was asked says there is none. failed: nobody answered, or nothing of use came; a CRL is
-- tried again by itself, the others when they are asked for. refused: it may not be fetched.
ALTER DOMAIN pki.wanted_answer DROP CONSTRAINT IF EXISTS words;
ALTER DOMAIN pki.wanted_answer ADD CONSTRAINT words CHECK (VALUE IN ('found', 'absent', 'failed', 'refused'));

-- Where a fetched certificate comes from; it says nothing about trust.
ALTER DOMAIN pki.fetched_origin DROP CONSTRAINT IF EXISTS words;
ALTER DOMAIN pki.fetched_origin ADD CONSTRAINT words CHECK (VALUE IN ('issuer', 'directory', 'smimea'));
