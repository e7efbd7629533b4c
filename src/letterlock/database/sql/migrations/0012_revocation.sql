-- 0012 revocation: lists are looked up by who issued them.

CREATE INDEX crl_issuer ON pki.crl (issuer);
