-- 0013 revocation: lists are looked up by who issued them, our own among them.

CREATE INDEX crl_issuer ON pki.crl (issuer);

-- crl_issuer: the digest of the authority's name (Certificate.subject_key); null until the next list is made. crl_since: when
-- the list was made.
ALTER TABLE ca.authority ADD COLUMN crl_issuer bytea, ADD COLUMN crl_since timestamptz;
