-- roles.sql: who exists in the database, and what nobody may do.
-- Run by: migrate, as the cluster's superuser or the external server's administrator, at every start; idempotent.
-- Promises: process roles (ll_*) may log in and own nothing; definer roles (fn_*) cannot log in and own functions only;
--   fn_partition owns the tables that are partitioned by day, since only an owner may add a partition; ll_owner owns the rest.
--   PUBLIC may do nothing here: no temporary table, no large object, no schema public, no function.
-- See: processes.py (the table of processes; a test compares it with this list), grants.sql (columns of the definers).

DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['ll_owner', 'fn_queue', 'fn_policy', 'fn_pki', 'fn_accounts', 'fn_audit', 'fn_keyholder',
                             'fn_vault', 'fn_ca', 'fn_acme', 'fn_partition'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = r) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', r);
        END IF;
    END LOOP;
    FOREACH r IN ARRAY ARRAY['ll_receive', 'll_flow', 'll_deliver', 'll_admin', 'll_login', 'll_keyholder',
                             'll_fetch', 'll_housekeeping'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = r) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I LOGIN NOINHERIT', r);
        END IF;
    END LOOP;
END
$$;

-- migrate creates everything as ll_owner and hands each function to its definer; so it must be able to act for them.
GRANT fn_queue, fn_policy, fn_pki, fn_accounts, fn_audit, fn_keyholder, fn_vault, fn_ca, fn_acme, fn_partition TO ll_owner;

-- What a captured process may have left for its successors (everybody may change their own role's settings) goes first.
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['ll_receive', 'll_flow', 'll_deliver', 'll_admin', 'll_login', 'll_keyholder',
                             'll_fetch', 'll_housekeeping'] LOOP
        EXECUTE pg_catalog.format('ALTER ROLE %I RESET ALL', r);
    END LOOP;
END
$$;
-- A process may set these for itself, so they are care, not defence. Plans are cached per connection while tables may be
-- empty, and an empty table invites a sequential scan, a hash or a bitmap that is ruinous an hour later: what stays are
-- loops over indexes, which are right for a batch however deep the queue is.
DO $$
DECLARE
    r text;
    s text;
BEGIN
    FOREACH r IN ARRAY ARRAY['ll_receive', 'll_flow', 'll_deliver', 'll_keyholder'] LOOP
        EXECUTE pg_catalog.format('ALTER ROLE %I SET plan_cache_mode = force_generic_plan', r);
        FOREACH s IN ARRAY ARRAY['seqscan', 'bitmapscan', 'hashjoin', 'mergejoin', 'memoize'] LOOP
            EXECUTE pg_catalog.format('ALTER ROLE %I SET enable_%s = off', r, s);
        END LOOP;
    END LOOP;
END
$$;
ALTER ROLE ll_receive SET statement_timeout = '30s';
ALTER ROLE ll_flow SET statement_timeout = '60s';
ALTER ROLE ll_deliver SET statement_timeout = '60s';
ALTER ROLE ll_admin SET statement_timeout = '60s';
ALTER ROLE ll_login SET statement_timeout = '10s';
ALTER ROLE ll_keyholder SET statement_timeout = '60s';
ALTER ROLE ll_fetch SET statement_timeout = '60s';
ALTER ROLE ll_housekeeping SET statement_timeout = '300s';

-- Schemas: one for each package with a calls.py; `letterlock` remembers what migrate applied.
DO $$
DECLARE
    s text;
BEGIN
    FOREACH s IN ARRAY ARRAY['letterlock', 'queue', 'policy', 'pki', 'accounts', 'audit', 'keyholder', 'vault', 'ca', 'acme'] LOOP
        EXECUTE pg_catalog.format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION ll_owner', s);
    END LOOP;
END
$$;

-- Everybody's rights first go away.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
DO $$
DECLARE
    f regprocedure;
BEGIN
    -- Large objects are open to PUBLIC by default, and would be a place to put things without any grant.
    FOR f IN SELECT p.oid::regprocedure FROM pg_catalog.pg_proc p
             WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^lo(_|read|write)' LOOP
        EXECUTE 'REVOKE EXECUTE ON FUNCTION ' || f || ' FROM PUBLIC';
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    -- A managed server keeps its catalogue to itself; doctor says so.
    RAISE WARNING 'large object functions stay open to PUBLIC on this server';
END
$$;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE ll_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE ll_owner REVOKE USAGE ON TYPES FROM PUBLIC;

-- Who sees which schema. A process that sees none of a schema's functions cannot even name them.
GRANT USAGE ON SCHEMA queue TO ll_receive, ll_flow, ll_deliver, ll_admin, ll_housekeeping;
GRANT USAGE ON SCHEMA policy TO ll_receive, ll_flow, ll_deliver, ll_fetch, ll_admin;
GRANT USAGE ON SCHEMA pki TO ll_flow, ll_fetch, ll_admin, ll_housekeeping;
GRANT USAGE ON SCHEMA accounts TO ll_admin, ll_login, ll_housekeeping;
GRANT USAGE ON SCHEMA audit TO ll_admin, ll_housekeeping;
GRANT USAGE ON SCHEMA keyholder TO ll_keyholder;
GRANT USAGE ON SCHEMA vault TO ll_housekeeping;
GRANT USAGE ON SCHEMA ca TO ll_flow, ll_admin, ll_housekeeping;
GRANT USAGE ON SCHEMA acme TO ll_flow, ll_fetch, ll_admin, ll_housekeeping;
