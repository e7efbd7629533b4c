-- 0008 store: where a certificate came from and by which names it is found; ties to domains and users; certificates that
-- wait for approval; what correspondents can read; the trust list.

ALTER TABLE pki.certificate ADD COLUMN origin text NOT NULL DEFAULT 'import' CHECK (origin IN ('import', 'harvest'));
ALTER TABLE pki.certificate ADD COLUMN sha1 bytea;
CREATE INDEX certificate_sha1 ON pki.certificate (sha1);
CREATE INDEX certificate_not_after ON pki.certificate (not_after);

-- A row whose address begins with @ ties the certificate to a scope: @user@domain, @domain or @*.domain.
ALTER TABLE pki.address ADD COLUMN tied_by text;
ALTER TABLE pki.address ADD COLUMN tied_at timestamptz;
ALTER TABLE pki.address ADD CONSTRAINT address_tied CHECK ((tied_by IS NOT NULL) = (left(address, 1) = '@'));

-- Harvested under pki.harvest with p_wait: no row in pki.address, so nobody encrypts to it, until an administrator says so.
CREATE TABLE pki.pending (
    certificate uuid NOT NULL REFERENCES pki.certificate (id) ON DELETE CASCADE,
    address text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (address, certificate)
);
CREATE INDEX pending_certificate ON pki.pending (certificate);

CREATE TABLE pki.capabilities (
    certificate uuid PRIMARY KEY REFERENCES pki.certificate (id) ON DELETE CASCADE,
    names text[] NOT NULL,
    signed_at timestamptz NOT NULL
);

-- digest: SHA-256 of the certificate, or of its SubjectPublicKeyInfo, so that a renewal with the same key is meant too.
CREATE TABLE pki.ctl (
    id uuid PRIMARY KEY,
    action text NOT NULL CHECK (action IN ('allow', 'deny')),
    by text NOT NULL CHECK (by IN ('thumbprint', 'spki')),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    allow_expired boolean NOT NULL,
    reason text NOT NULL CHECK (reason <> '' AND length(reason) <= 500),
    author text NOT NULL,
    created_at timestamptz NOT NULL,
    until timestamptz,
    UNIQUE (by, digest, action)
);

DROP FUNCTION IF EXISTS pki.delete(bytea, uuid);
