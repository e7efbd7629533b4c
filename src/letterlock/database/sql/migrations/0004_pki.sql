-- 0004 pki: certificates by address, and which of them are trust anchors. An import never trusts.

CREATE TABLE pki.certificate (
    id uuid PRIMARY KEY,
    organisation uuid NOT NULL,
    fingerprint bytea NOT NULL UNIQUE,
    der bytea NOT NULL,
    subject text NOT NULL,
    issuer text NOT NULL,
    serial bytea NOT NULL,
    ski bytea NOT NULL,
    is_ca boolean NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    key_id uuid,
    imported_by text NOT NULL,
    imported_at timestamptz NOT NULL
);
CREATE INDEX certificate_ca ON pki.certificate (id) WHERE is_ca;
CREATE INDEX certificate_own_serial ON pki.certificate (serial) WHERE key_id IS NOT NULL;
CREATE INDEX certificate_own_ski ON pki.certificate (ski) WHERE key_id IS NOT NULL;
CREATE INDEX certificate_key ON pki.certificate (key_id) WHERE key_id IS NOT NULL;

-- Addresses in the match form of pki/certificate.py, compared octet by octet.
CREATE TABLE pki.address (
    address text NOT NULL,
    certificate uuid NOT NULL REFERENCES pki.certificate (id) ON DELETE CASCADE,
    PRIMARY KEY (address, certificate)
);
CREATE INDEX address_certificate ON pki.address (certificate);

CREATE TABLE pki.anchor (
    certificate uuid PRIMARY KEY REFERENCES pki.certificate (id) ON DELETE CASCADE,
    added_by text NOT NULL,
    added_at timestamptz NOT NULL
);
