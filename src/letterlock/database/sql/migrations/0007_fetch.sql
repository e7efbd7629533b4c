-- 0007 fetch: what is missing, and what the fetch station brought: CRLs, OCSP answers, certificates. Nothing here is trusted.

-- One thing somebody lacks. name: a URL, or an address in match form; about: the CertID of an OCSP request, else ''.
-- due_at = next attempt = end of lease. open_since: when it was first asked for without an answer. answer: of the last attempt; null: there was none yet. good_until: until when nobody
-- waits for another one. host: whom it asks, '' when that is our own configuration's.
CREATE TABLE pki.wanted (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    kind pki.wanted_kind NOT NULL,
    of_address boolean NOT NULL GENERATED ALWAYS AS (kind IN ('directory', 'smimea')) STORED,
    name text NOT NULL CHECK (length(name) <= 2000),
    about bytea NOT NULL CHECK (octet_length(about) <= 1000),
    host text NOT NULL CHECK (length(host) <= 255),
    wanted_at timestamptz NOT NULL,
    open_since timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    lease uuid,
    answer pki.wanted_answer,
    answered_at timestamptz,
    good_until timestamptz,
    failures int NOT NULL DEFAULT 0
);
CREATE INDEX wanted_due ON pki.wanted (of_address, due_at);
CREATE INDEX wanted_wanted ON pki.wanted (wanted_at);

-- A server that did not answer is left alone for a while, whatever is wanted of it.
CREATE TABLE pki.host_backoff (
    host text PRIMARY KEY,
    not_before timestamptz NOT NULL,
    failures int NOT NULL
);

-- CRLs as they came. issuer: the digest of its name (Certificate.subject_key); issuer_key_id: '' when the CRL names none.
CREATE TABLE pki.crl (
    wanted bytea NOT NULL REFERENCES pki.wanted (digest) ON DELETE CASCADE,
    fingerprint bytea NOT NULL,
    der bytea NOT NULL,
    issuer bytea NOT NULL,
    issuer_key_id bytea NOT NULL,
    is_delta boolean NOT NULL,
    this_update timestamptz NOT NULL,
    next_update timestamptz,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (wanted, fingerprint)
);
ALTER TABLE pki.crl ALTER COLUMN der SET STORAGE EXTERNAL;

CREATE TABLE pki.ocsp_answer (
    wanted bytea PRIMARY KEY REFERENCES pki.wanted (digest) ON DELETE CASCADE,
    cert_id bytea NOT NULL,
    der bytea NOT NULL,
    this_update timestamptz NOT NULL,
    next_update timestamptz,
    fetched_at timestamptz NOT NULL
);
CREATE INDEX ocsp_answer_cert_id ON pki.ocsp_answer (cert_id);

-- Certificates as they came: candidates, and authorities between. address: whose it was asked for, '' for an authority.
CREATE TABLE pki.fetched_certificate (
    id uuid PRIMARY KEY,
    wanted bytea NOT NULL REFERENCES pki.wanted (digest) ON DELETE CASCADE,
    origin pki.fetched_origin NOT NULL,
    address text NOT NULL,
    fingerprint bytea NOT NULL,
    der bytea NOT NULL,
    is_ca boolean NOT NULL,
    not_after timestamptz NOT NULL,
    fetched_at timestamptz NOT NULL,
    UNIQUE (wanted, fingerprint)
);
CREATE INDEX fetched_certificate_address ON pki.fetched_certificate (address) WHERE address <> '';
CREATE INDEX fetched_certificate_ca ON pki.fetched_certificate (fetched_at) WHERE is_ca;
