-- 0012 acme: certificates from an authority elsewhere by ACME (RFC 8555, RFC 8823): accounts, enrolments under way.

-- account: signs what is said to an ACME server, and nothing else.
ALTER TABLE keyholder.private_key DROP CONSTRAINT private_key_use_check;
ALTER TABLE keyholder.private_key ADD CONSTRAINT private_key_use_check CHECK (use IN ('mail', 'authority', 'account'));

-- enrolling: an authority elsewhere is asked step by step (handler acme).
ALTER TABLE ca.request DROP CONSTRAINT request_handler_check;
ALTER TABLE ca.request ADD CONSTRAINT request_handler_check CHECK (handler IN ('builtin', 'delayed', 'pkcs10', 'acme'));
ALTER TABLE ca.request DROP CONSTRAINT request_state_check;
ALTER TABLE ca.request ADD CONSTRAINT request_state_check
    CHECK (state IN ('due', 'approval', 'certificate', 'enrolling', 'done', 'rejected', 'failed'));
DROP INDEX ca.request_open;
CREATE UNIQUE INDEX request_open ON ca.request (organisation, address)
    WHERE state IN ('due', 'approval', 'certificate', 'enrolling');

-- issuer of an order 'acme': the directory's scheme, host and port, which every address in it must have.
ALTER TABLE ca.signing_order DROP CONSTRAINT signing_order_kind_check;
ALTER TABLE ca.signing_order ADD CONSTRAINT signing_order_kind_check
    CHECK (kind IN ('authority', 'certificate', 'crl', 'ocsp', 'request', 'acme'));

CREATE TABLE acme.account (
    organisation uuid NOT NULL,
    directory text NOT NULL,
    key_id uuid NOT NULL UNIQUE,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL,
    PRIMARY KEY (organisation, directory)
);

-- state, body: what pki/acme/enrolment.py knows. step: grows with every change, so that of two who carry the same step
-- only one is heard. challenger, token: who sends the challenge mail, and the token's part that came over TLS; answers:
-- SHA-256 of each challenge mail that was replied to, the first of them at answered_at.
-- The exchange under way: method, url, kind, asked (what to send); lease, fetch_at (who sends it, from when); code,
-- fields, answer (what came), or fault (why nothing came).
CREATE TABLE acme.enrolment (
    request uuid PRIMARY KEY REFERENCES ca.request (id),
    account uuid NOT NULL,
    directory text NOT NULL,
    state text NOT NULL CHECK (state IN ('directory', 'nonce', 'account', 'order', 'challenge', 'proving', 'finalise',
                                         'download', 'done', 'failed')),
    body jsonb NOT NULL,
    step int NOT NULL,
    due_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    challenger text NOT NULL,
    token text NOT NULL,
    answers bytea[] NOT NULL,
    answered_at timestamptz,
    method text NOT NULL,
    url text NOT NULL,
    kind text NOT NULL,
    asked bytea NOT NULL,
    lease uuid,
    fetch_at timestamptz NOT NULL,
    code int,
    fields jsonb,
    answer bytea,
    fault text
);
CREATE INDEX enrolment_fetch ON acme.enrolment (fetch_at) WHERE method <> '';

-- One row for each certificate, step (days before its end) and reader; flow mails it once. mail: the notice's id in the
-- queue, so that entering it twice is entering it once.
CREATE TABLE ca.warning (
    certificate uuid NOT NULL,
    days int NOT NULL,
    recipient text NOT NULL,
    address text NOT NULL,
    contact text NOT NULL,
    mail uuid NOT NULL UNIQUE,
    due_at timestamptz NOT NULL,
    warned_at timestamptz NOT NULL,
    mailed_at timestamptz,
    PRIMARY KEY (certificate, days, recipient)
);
CREATE INDEX warning_due ON ca.warning (due_at) WHERE mailed_at IS NULL;
