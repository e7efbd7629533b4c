-- grants.sql: which columns each definer role may touch. This page is the field-level access control.
-- Run by: migrate, as ll_owner (and so as a member of fn_partition), after the migrations and whenever this file changed.
-- Promises: a definer function that reads a column not named here fails, however careless it is.
-- A process role (ll_*) is never named here.

REVOKE ALL ON ALL TABLES IN SCHEMA queue, policy, pki, accounts, audit, keyholder, vault, ca, acme
    FROM fn_queue, fn_policy, fn_pki, fn_accounts, fn_audit, fn_keyholder, fn_vault, fn_ca, fn_acme;

GRANT USAGE ON SCHEMA queue TO fn_queue, fn_keyholder, fn_vault;
GRANT USAGE ON SCHEMA policy TO fn_policy, fn_queue, fn_pki, fn_accounts, fn_ca, fn_acme;
GRANT USAGE ON SCHEMA pki TO fn_pki, fn_keyholder, fn_ca, fn_acme;
GRANT USAGE ON SCHEMA accounts TO fn_accounts, fn_queue, fn_policy, fn_pki, fn_audit, fn_keyholder, fn_ca;
GRANT USAGE ON SCHEMA audit TO fn_audit, fn_queue, fn_policy, fn_pki, fn_accounts, fn_keyholder, fn_ca, fn_acme,
    fn_partition;
GRANT USAGE ON SCHEMA keyholder TO fn_keyholder, fn_queue, fn_pki, fn_ca, fn_acme;
GRANT USAGE ON SCHEMA vault TO fn_vault;
GRANT USAGE ON SCHEMA ca TO fn_ca, fn_keyholder, fn_pki, fn_acme;
GRANT USAGE ON SCHEMA acme TO fn_acme;

-- queue: its own tables; of the keyholder's only what tells a living sealing session from a dead one, never a key.
GRANT SELECT, INSERT, DELETE ON queue.message, queue.delivery, queue.recipient TO fn_queue;
GRANT UPDATE (state, reason, released_by) ON queue.message TO fn_queue;
GRANT UPDATE (delayed, reply) ON queue.delivery TO fn_queue;
GRANT UPDATE (state, mandatory) ON queue.recipient TO fn_queue;
GRANT SELECT, INSERT, DELETE ON queue.due, queue.backoff, queue.trace, queue.open_grant TO fn_queue;
GRANT UPDATE (due_at, lease, worker, attempts) ON queue.due TO fn_queue;
GRANT UPDATE (not_before) ON queue.backoff TO fn_queue;
GRANT SELECT (id, epoch, role, not_after, void_at) ON keyholder.session TO fn_queue;
GRANT SELECT (id, day, destroyed_at) ON keyholder.epoch TO fn_queue;
GRANT SELECT (revision) ON policy.revision TO fn_queue;
GRANT SELECT (level, scope, name, value) ON policy.setting TO fn_queue;

-- policy
GRANT SELECT, INSERT ON policy.organisation TO fn_policy;
GRANT SELECT, INSERT, DELETE ON policy.domain TO fn_policy;
GRANT UPDATE (internal, organisation) ON policy.domain TO fn_policy;
GRANT SELECT, INSERT, DELETE ON policy.setting TO fn_policy;
GRANT UPDATE (value, set_by, set_at) ON policy.setting TO fn_policy;
GRANT SELECT, UPDATE (revision) ON policy.revision TO fn_policy;

-- pki: of the private keys only that they exist and to which public key they belong.
GRANT SELECT, INSERT, DELETE ON pki.certificate, pki.address, pki.anchor TO fn_pki;
GRANT UPDATE (key_id) ON pki.certificate TO fn_pki;
GRANT SELECT, INSERT, DELETE ON pki.wanted, pki.host_backoff, pki.crl, pki.ocsp_answer, pki.fetched_certificate TO fn_pki;
GRANT UPDATE (wanted_at, open_since, due_at, lease, answer, answered_at, good_until, failures) ON pki.wanted TO fn_pki;
GRANT UPDATE (not_before, failures) ON pki.host_backoff TO fn_pki;
GRANT UPDATE (fetched_at) ON pki.crl, pki.fetched_certificate TO fn_pki;
GRANT UPDATE (der, this_update, next_update, fetched_at) ON pki.ocsp_answer TO fn_pki;
GRANT SELECT, INSERT, DELETE ON pki.pending, pki.capabilities, pki.ctl TO fn_pki;
GRANT UPDATE (names, preferred, signed_at) ON pki.capabilities TO fn_pki;
GRANT SELECT (name, value) ON policy.setting TO fn_pki;
GRANT SELECT (id, spki) ON keyholder.private_key TO fn_pki;
GRANT SELECT (id, name) ON policy.organisation TO fn_pki;
GRANT SELECT (name, internal, organisation) ON policy.domain TO fn_pki;
GRANT SELECT, UPDATE (told_at) ON pki.key_export TO fn_pki;
GRANT SELECT (revision) ON policy.revision TO fn_pki;
GRANT SELECT (level, name, set_at) ON policy.setting TO fn_pki;

-- accounts
GRANT SELECT, INSERT, DELETE ON accounts.session TO fn_accounts;
GRANT UPDATE (used_at, ended_at, openings_left) ON accounts.session TO fn_accounts;
GRANT SELECT (id, name) ON policy.organisation TO fn_accounts;

-- audit: written and read, never changed
GRANT SELECT, INSERT ON audit.entry TO fn_audit;
GRANT SELECT ON audit.seal TO fn_audit;

-- keyholder: the keys of contents, never the contents; the hash of a token, so that it is checked in the same statement
GRANT SELECT, INSERT ON keyholder.epoch, keyholder.session, keyholder.private_key TO fn_keyholder;
GRANT UPDATE (destroyed_at) ON keyholder.epoch TO fn_keyholder;
GRANT UPDATE (wrapped_key, void_at) ON keyholder.session TO fn_keyholder;
GRANT UPDATE (wrapped) ON keyholder.private_key TO fn_keyholder;
GRANT SELECT, UPDATE (generation) ON keyholder.ring TO fn_keyholder;
GRANT SELECT (id, stage, due_at, lease) ON queue.due TO fn_keyholder;
GRANT SELECT (id, session, day, wrapped_key, commitment, envelope, state) ON queue.message TO fn_keyholder;
GRANT SELECT (id, session, day, wrapped_key, commitment, envelope) ON queue.delivery TO fn_keyholder;
GRANT SELECT (message, at, session, day, wrapped_key, commitment) ON queue.trace TO fn_keyholder;
GRANT SELECT, UPDATE (taken_at) ON queue.open_grant TO fn_keyholder;
GRANT SELECT (id, token_hash, principal, organisation, role, permissions, made_at, used_at, idle, expires_at, ended_at)
    ON accounts.session TO fn_keyholder;
GRANT SELECT (id, key_id) ON pki.certificate TO fn_keyholder;
GRANT SELECT ON pki.address TO fn_keyholder;
GRANT INSERT ON pki.key_export TO fn_keyholder;
GRANT SELECT, INSERT ON audit.seal TO fn_keyholder;
GRANT SELECT (id, kind, key_id, issuer, address, request_key, tbs, role, session, made_at, taken_at), UPDATE (taken_at)
    ON ca.signing_order TO fn_keyholder;

-- vault: whether a content has a row, nothing else
GRANT SELECT (id) ON queue.message, queue.delivery TO fn_vault;

-- ca: its own tables; of the private keys only what each is for and its public key; certificates it gives out go to pki's.
GRANT SELECT, INSERT ON ca.authority, ca.profile, ca.issued, ca.request TO fn_ca;
GRANT UPDATE (crl, crl_number, crl_issuer, crl_since, crl_next, crl_until, revoked_at, reason, serial) ON ca.authority TO fn_ca;
GRANT UPDATE (body, set_by, set_at) ON ca.profile TO fn_ca;
GRANT UPDATE (held, revoked_at, reason, warned_at, answer_sha1, answer_sha256, answer_next) ON ca.issued TO fn_ca;
GRANT UPDATE (state, reason, tries, due_at, key_id, csr, issued, decided_by, decided_at) ON ca.request TO fn_ca;
GRANT INSERT, DELETE, SELECT (id, made_at) ON ca.signing_order TO fn_ca;
GRANT SELECT, INSERT, DELETE, UPDATE ON ca.wanted TO fn_ca;
GRANT SELECT (id, use, spki) ON keyholder.private_key TO fn_ca;
GRANT SELECT (id, name) ON policy.organisation TO fn_ca;
GRANT SELECT (name, internal) ON policy.domain TO fn_ca;
GRANT SELECT (id, revoked_at, held) ON ca.issued TO fn_pki;
GRANT INSERT, SELECT (id, fingerprint, subject, issuer, is_ca, not_after, key_id) ON pki.certificate TO fn_ca;
GRANT INSERT, SELECT (address, certificate) ON pki.address TO fn_ca;
GRANT SELECT, INSERT, UPDATE (due_at, mailed_at) ON ca.warning TO fn_ca;

-- acme: its own tables; of requests what they ask and what became of them; what is signed goes through ca's orders; the
-- certificates that come go to pki's.
GRANT SELECT, INSERT ON acme.account, acme.enrolment TO fn_acme;
GRANT UPDATE ON acme.enrolment TO fn_acme;
GRANT SELECT, UPDATE (state, reason, due_at, issued) ON ca.request TO fn_acme;
GRANT INSERT ON ca.signing_order TO fn_acme;
GRANT SELECT (id, use, spki) ON keyholder.private_key TO fn_acme;
GRANT SELECT ON policy.revision TO fn_acme;
GRANT INSERT, SELECT (id, fingerprint), UPDATE (key_id) ON pki.certificate TO fn_acme;
GRANT INSERT, SELECT ON pki.address TO fn_acme;
GRANT SELECT (url, crl, crl_issuer, crl_since, crl_until) ON ca.authority TO fn_pki;
