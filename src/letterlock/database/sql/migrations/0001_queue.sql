-- 0001 queue: mail in transit, in plain tables (a pass through day partitions costs 0.13 ms a message).
-- Content columns of message and delivery are the same ten: sealed octets, or the sealed index of a segment file.

CREATE TABLE queue.message (
    id uuid PRIMARY KEY,
    session uuid NOT NULL,
    day date NOT NULL,
    wrapped_key bytea NOT NULL,
    commitment bytea NOT NULL,
    envelope bytea NOT NULL,
    manifest bytea NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    segments int NOT NULL CHECK (segments >= 0),
    body bytea NOT NULL,
    state queue.message_state NOT NULL DEFAULT 'received',
    sender text NOT NULL,
    accepted_at timestamptz NOT NULL,
    reason text,
    released_by text
);
ALTER TABLE queue.message ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE queue.message ALTER COLUMN envelope SET STORAGE EXTERNAL;
ALTER TABLE queue.message ALTER COLUMN manifest SET STORAGE EXTERNAL;

-- An index over the sealed envelopes, of messages and of deliveries: owner is the id of either.
CREATE TABLE queue.recipient (
    owner uuid NOT NULL,
    n int NOT NULL,
    address text NOT NULL,
    domain text NOT NULL,
    organisation uuid,
    state queue.recipient_state NOT NULL DEFAULT 'pending',
    mandatory boolean NOT NULL DEFAULT false, -- a decision has found it so: later ones may not ask for less
    PRIMARY KEY (owner, n)
);

CREATE TABLE queue.delivery (
    id uuid PRIMARY KEY,
    message_id uuid NOT NULL,
    session uuid NOT NULL,
    day date NOT NULL,
    wrapped_key bytea NOT NULL,
    commitment bytea NOT NULL,
    envelope bytea NOT NULL,
    manifest bytea NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    segments int NOT NULL CHECK (segments >= 0),
    body bytea NOT NULL,
    method text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('outgoing', 'incoming')),
    domain text NOT NULL,
    next_hop text NOT NULL,
    tls_min smallint NOT NULL,
    sender text NOT NULL,
    accepted_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    delayed boolean NOT NULL DEFAULT false,
    reply text
);
ALTER TABLE queue.delivery ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE queue.delivery ALTER COLUMN envelope SET STORAGE EXTERNAL;
ALTER TABLE queue.delivery ALTER COLUMN manifest SET STORAGE EXTERNAL;

-- The hot table: due_at is the next attempt or the end of the lease. stage 1: message for flow; 2: delivery. No CHECK
-- says so: its text is parsed anew by each statement that writes a row, which costs more than the index does.
-- No CHECK here: it is read and parsed anew for each statement that writes a row, 3 microseconds a message.
CREATE TABLE queue.due (
    id uuid PRIMARY KEY,
    stage smallint NOT NULL,
    due_at timestamptz NOT NULL,
    lease uuid,
    worker uuid,
    attempts int NOT NULL DEFAULT 0,
    size bigint NOT NULL,
    domain text NOT NULL DEFAULT ''
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX due_order ON queue.due (stage, due_at);

CREATE TABLE queue.backoff (
    domain text PRIMARY KEY,
    not_before timestamptz NOT NULL
);

-- What was decided, sealed under the message's own key, kept until its epoch is destroyed. Every message that left has at
-- least one row here (trace may be absent): so the same id is never accepted twice.
CREATE TABLE queue.trace (
    message uuid NOT NULL,
    at timestamptz NOT NULL,
    session uuid NOT NULL,
    day date NOT NULL,
    wrapped_key bytea NOT NULL,
    commitment bytea NOT NULL,
    trace bytea,
    PRIMARY KEY (message, at)
) WITH (autovacuum_analyze_threshold = 100000); -- its plans need no sample
-- Rows come in the order of their days and leave so: a summary a block range is enough, and costs an insert nothing.
CREATE INDEX trace_day ON queue.trace USING brin (day) WITH (autosummarize = on);

-- A grant: asked for by a person's session, taken once by the keyholder within ten seconds.
CREATE TABLE queue.open_grant (
    id uuid PRIMARY KEY,
    session uuid NOT NULL,
    role text NOT NULL,
    object uuid NOT NULL,
    purpose text NOT NULL,
    made_at timestamptz NOT NULL,
    taken_at timestamptz
);
CREATE INDEX open_grant_made ON queue.open_grant (made_at);
