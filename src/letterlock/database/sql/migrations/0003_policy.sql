-- 0003 policy: organisations, domains, settings and their revision.

CREATE TABLE policy.organisation (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    made_at timestamptz NOT NULL
);
INSERT INTO policy.organisation (id, name, made_at) VALUES (gen_random_uuid(), 'default', statement_timestamp());

CREATE TABLE policy.domain (
    name text PRIMARY KEY CHECK (name = lower(name) AND name <> ''),
    internal boolean NOT NULL,
    organisation uuid NOT NULL REFERENCES policy.organisation (id),
    added_by text NOT NULL,
    added_at timestamptz NOT NULL
);

-- scope: '' gateway, the organisation's id, '*.example.org' wildcard, 'example.org' domain, 'a@example.org' user.
CREATE TABLE policy.setting (
    level policy.level NOT NULL,
    scope text NOT NULL CHECK (scope = lower(scope)),
    name text NOT NULL,
    value jsonb NOT NULL,
    set_by text NOT NULL,
    set_at timestamptz NOT NULL,
    PRIMARY KEY (level, scope, name)
);

-- One row; grows with every change of settings, domains, certificates or anchors, so that readers know when to read again.
CREATE TABLE policy.revision (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    revision bigint NOT NULL
);
INSERT INTO policy.revision (revision) VALUES (1);
