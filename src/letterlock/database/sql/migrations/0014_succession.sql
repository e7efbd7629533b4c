-- 0014 succession: an authority that issues has successors, and may be revoked by its root.

-- generation: counts those that follow one another under one name; serial: of a revoked one, for its root's list.
ALTER TABLE ca.authority ADD COLUMN generation int NOT NULL DEFAULT 1 CHECK (generation > 0);
ALTER TABLE ca.authority ADD COLUMN revoked_at timestamptz;
ALTER TABLE ca.authority ADD COLUMN reason text CHECK ((reason IS NULL) = (revoked_at IS NULL));
ALTER TABLE ca.authority ADD COLUMN serial bytea CHECK ((serial IS NULL) = (revoked_at IS NULL));
DROP INDEX ca.authority_name;
CREATE UNIQUE INDEX authority_name ON ca.authority (organisation, name, kind, generation);

DROP FUNCTION IF EXISTS ca.add_authority(bytea, uuid, uuid, text, text, uuid, text, text, bytea, bytea, uuid, timestamptz);
DROP FUNCTION IF EXISTS ca.authorities(bytea);
