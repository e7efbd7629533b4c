-- 0005 accounts: sessions of people. Only the SHA-256 of a token is stored.

CREATE TABLE accounts.session (
    id uuid PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    principal text NOT NULL,
    organisation uuid,
    role text NOT NULL,
    permissions text[] NOT NULL,
    made_at timestamptz NOT NULL,
    used_at timestamptz NOT NULL,
    idle interval NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    openings_left int NOT NULL
);
CREATE INDEX session_expiry ON accounts.session (expires_at);
