-- 0002 keyholder: epochs, sealing sessions, users' private keys (wrapped), and how far the key ring has come.
-- No key lies here in clear, and no epoch key at all.

CREATE TABLE keyholder.epoch (
    id uuid PRIMARY KEY,
    class text NOT NULL CHECK (class IN ('queue', 'inbox')),
    day date NOT NULL,
    registered_at timestamptz NOT NULL,
    destroyed_at timestamptz
);
CREATE INDEX epoch_day ON keyholder.epoch (day);

CREATE TABLE keyholder.session (
    id uuid PRIMARY KEY,
    epoch uuid NOT NULL,
    class text NOT NULL CHECK (class IN ('queue', 'inbox')),
    role text NOT NULL CHECK (role LIKE 'll\_%'),
    opened_at timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    void_at timestamptz,
    wrapped_key bytea
);
CREATE INDEX session_epoch ON keyholder.session (epoch);

CREATE TABLE keyholder.private_key (
    id uuid PRIMARY KEY,
    organisation uuid NOT NULL,
    wrapped bytea NOT NULL,
    spki bytea NOT NULL,
    algorithm text NOT NULL,
    stored_at timestamptz NOT NULL,
    stored_by text NOT NULL
);
CREATE UNIQUE INDEX private_key_spki ON keyholder.private_key (organisation, spki);

-- One row. A ring older than this number is an old copy, and must not serve.
CREATE TABLE keyholder.ring (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    generation bigint NOT NULL
);
INSERT INTO keyholder.ring (generation) VALUES (0);
