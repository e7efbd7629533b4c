-- 0009 ca: the certificate authority: its authorities, profiles, issued certificates, requests, and orders to sign.

-- What a private key is for. Flow reaches those of 'mail' only; orders of the authority those of 'authority', and
-- of 'mail' for a certification request that the key makes for itself.
ALTER TABLE keyholder.private_key ADD COLUMN use text NOT NULL DEFAULT 'mail' CHECK (use IN ('mail', 'authority'));

-- crl_next, ocsp_next: when housekeeping makes the next one; crl_until: nextUpdate of the one published.
CREATE TABLE ca.authority (
    id uuid PRIMARY KEY,
    organisation uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('root', 'issuing')),
    parent uuid REFERENCES ca.authority (id),
    label text NOT NULL UNIQUE,
    url text NOT NULL,
    der bytea NOT NULL,
    key_id uuid NOT NULL UNIQUE,
    not_after timestamptz NOT NULL,
    crl bytea,
    crl_number bigint NOT NULL DEFAULT 0,
    crl_next timestamptz NOT NULL,
    crl_until timestamptz,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX authority_name ON ca.authority (organisation, name, kind);

CREATE TABLE ca.profile (
    organisation uuid NOT NULL,
    name text NOT NULL,
    body jsonb NOT NULL,
    set_by text NOT NULL,
    set_at timestamptz NOT NULL,
    PRIMARY KEY (organisation, name)
);

-- held: its owner, outside, does not have the key yet, so nothing is encrypted to it.
-- key_sha1, key_sha256 with serial: by which an OCSP request names it (RFC 6960 4.1.1).
CREATE TABLE ca.issued (
    id uuid PRIMARY KEY,
    authority uuid NOT NULL REFERENCES ca.authority (id),
    serial bytea NOT NULL,
    key_sha1 bytea NOT NULL,
    key_sha256 bytea NOT NULL,
    certificate uuid,
    der bytea NOT NULL,
    address text NOT NULL,
    profile text NOT NULL,
    key_id uuid,
    held boolean NOT NULL,
    request uuid,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    issued_by text NOT NULL,
    issued_at timestamptz NOT NULL,
    revoked_at timestamptz,
    reason text CHECK ((reason IS NULL) = (revoked_at IS NULL)),
    warned_at timestamptz,
    answer_sha1 bytea,
    answer_sha256 bytea,
    answer_next timestamptz NOT NULL
);
CREATE UNIQUE INDEX issued_serial ON ca.issued (serial, authority);
CREATE INDEX issued_address ON ca.issued (address);
CREATE INDEX issued_answer ON ca.issued (answer_next);
CREATE INDEX issued_revoked ON ca.issued (authority) WHERE revoked_at IS NOT NULL;
CREATE INDEX issued_not_after ON ca.issued (not_after);

-- States: due (housekeeping or the asker carries it out), approval (waits for a person), certificate (waits for the
-- certificate of an external authority), done, rejected, failed.
CREATE TABLE ca.request (
    id uuid PRIMARY KEY,
    organisation uuid NOT NULL,
    handler text NOT NULL CHECK (handler IN ('builtin', 'delayed', 'pkcs10')),
    authority text NOT NULL,
    profile text NOT NULL,
    address text NOT NULL,
    name text NOT NULL,
    source text NOT NULL CHECK (source IN ('person', 'automatic', 'renewal')),
    state text NOT NULL CHECK (state IN ('due', 'approval', 'certificate', 'done', 'rejected', 'failed')),
    reason text NOT NULL DEFAULT '',
    tries int NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    key_id uuid,
    csr bytea,
    issued uuid,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    decided_by text,
    decided_at timestamptz
);
CREATE UNIQUE INDEX request_open ON ca.request (organisation, address) WHERE state IN ('due', 'approval', 'certificate');
CREATE INDEX request_due ON ca.request (due_at) WHERE state = 'due';

-- What the keyholder is to sign, once, within ten seconds; the audit trail keeps the digest.
CREATE TABLE ca.signing_order (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('authority', 'certificate', 'crl', 'ocsp', 'request')),
    key_id uuid NOT NULL,
    issuer bytea,
    address text,
    request_key uuid,
    tbs bytea NOT NULL,
    role text NOT NULL,
    session uuid,
    made_at timestamptz NOT NULL,
    taken_at timestamptz
);
CREATE INDEX signing_order_made ON ca.signing_order (made_at);

-- Addresses that flow found without a signing certificate though the setting asks for one; housekeeping takes them.
CREATE TABLE ca.wanted (
    address text PRIMARY KEY,
    wanted_at timestamptz NOT NULL
);
