-- 0011 tokens: private keys on a PKCS #11 token, and private keys that left.

-- A key on a token has its PKCS #11 URI here, for people to read; wrapped then holds the same as a sealed reference, which is
-- what counts, and no key.
ALTER TABLE keyholder.private_key ADD COLUMN token_uri text;

-- A private key that was given out: by whom, why, whom it concerns. told_at: its owner and postmaster were told.
CREATE TABLE pki.key_export (
    id uuid PRIMARY KEY,
    key_id uuid NOT NULL,
    organisation uuid NOT NULL,
    principal text NOT NULL,
    reason text NOT NULL,
    addresses text[] NOT NULL,
    exported_at timestamptz NOT NULL,
    told_at timestamptz
);
CREATE INDEX key_export_untold ON pki.key_export (exported_at) WHERE told_at IS NULL;
