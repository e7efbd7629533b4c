-- 0010 preference: the certificate that a correspondent asked to be written to with (RFC 8551 2.5.3).

ALTER TABLE pki.capabilities ADD COLUMN preferred boolean NOT NULL DEFAULT false;
DROP FUNCTION IF EXISTS pki.harvest(uuid, bytea, bytea, text, text, bytea, bytea, text, text[], timestamptz, timestamptz, text[],
                                    timestamptz, boolean);
DROP FUNCTION IF EXISTS pki.candidates(text[]);
DROP FUNCTION IF EXISTS pki.explain_candidates(bytea, text[]);
DROP FUNCTION IF EXISTS pki.read_candidates(text[]);
