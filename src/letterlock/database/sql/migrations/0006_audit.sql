-- 0006 audit: one row for each thing done or denied, by day; and the seals over them.
-- audit.entry belongs to fn_partition, because only a table's owner may add a partition; no other table does.

CREATE TABLE audit.entry (
    day date NOT NULL,
    xid xid8 NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    db_role text NOT NULL,
    principal text,
    organisation uuid,
    action text NOT NULL,
    object uuid,
    ok boolean NOT NULL,
    detail jsonb,
    PRIMARY KEY (xid, id, day)
) PARTITION BY RANGE (day);
CREATE INDEX entry_object ON audit.entry (object);
CREATE TABLE audit.entry_other PARTITION OF audit.entry DEFAULT WITH (autovacuum_analyze_threshold = 100000);
GRANT CREATE ON SCHEMA audit TO fn_partition;
ALTER TABLE audit.entry OWNER TO fn_partition;
ALTER TABLE audit.entry_other OWNER TO fn_partition;

-- A seal covers the rows with from_xid <= xid < upto_xid; digest is over their fixed encoding (audit.encode,
-- audit/chain.py); sealed_at: microseconds since the Unix epoch.
CREATE TABLE audit.seal (
    number bigint PRIMARY KEY,
    from_xid bigint NOT NULL,
    upto_xid bigint NOT NULL,
    rows int NOT NULL,
    digest bytea NOT NULL,
    previous bytea NOT NULL,
    link bytea NOT NULL,
    sealed_at bigint NOT NULL,
    signature bytea NOT NULL,
    key_id text NOT NULL
);
