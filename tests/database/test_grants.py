"""Who may do what, exactly: the lists below are the whole surface of the database.

A new function appears here, deliberately, or these tests fail.
"""

from __future__ import annotations

from collections import defaultdict

import psycopg
import pytest

from letterlock import processes
from letterlock.database.gate import SCHEMAS
from letterlock.database.roles import DEFINER_ROLES, LOGIN_ROLES
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.postgres_both, pytest.mark.req("I4")]

MAY_CALL = {
    "ll_receive": "queue.accept policy.listener policy.revision",
    "ll_flow": "queue.claim_messages queue.advance queue.free_leases policy.settings_for policy.domains policy.revision"
    " pki.candidates pki.authorities pki.own_certificates pki.want pki.crls pki.ocsp_answers pki.ctl_entries"
    " pki.harvest ca.want acme.challenge acme.answer"
    " ca.take_warnings ca.mailed queue.notify",
    "ll_deliver": "queue.claim_deliveries queue.settle queue.settle_handed queue.turn queue.free_leases policy.revision",
    "ll_admin": "queue.list queue.show queue.hold queue.release queue.retry queue.drop queue.request_open queue.read_open"
    " queue.traces policy.explain policy.set policy.unset policy.list policy.add_domain policy.remove_domain"
    " policy.domains_list policy.organisations pki.import_certificate pki.list pki.show pki.add_anchor pki.remove_anchor"
    " pki.delete pki.explain_candidates pki.explain_authorities accounts.end_session audit.entries audit.seals"
    " audit.encoded pki.find pki.expiring pki.tie pki.untie pki.waiting pki.set_ctl_entry pki.remove_ctl_entry"
    " pki.explain_ctl_entries pki.explain_crls pki.explain_ocsp_answers"
    " ca.add_authority ca.authorities ca.order_signature ca.add_issued ca.issued ca.revoke ca.revoked"
    " ca.revoke_authority"
    " ca.put_list ca.answers_due ca.put_answer ca.published_list ca.published_certificate ca.published_answer"
    " ca.set_profile ca.profiles ca.add_request ca.requests ca.decide_request ca.put_request ca.confirm"
    " ca.settings_for acme.account acme.add_account acme.begin",
    "ll_login": "accounts.assert_login",
    "ll_keyholder": "keyholder.clock keyholder.register_epoch keyholder.epochs keyholder.epochs_over"
    " keyholder.mark_destroyed keyholder.open_session keyholder.check_leases keyholder.take keyholder.store_key"
    " keyholder.private_key keyholder.ring_generation keyholder.note_generation keyholder.restored keyholder.unsealed"
    " keyholder.store_seal keyholder.seals keyholder.take_order keyholder.make_key keyholder.export_key"
    " keyholder.store_token_key keyholder.token_keys",
    "ll_fetch": "pki.take_wanted pki.answer_wanted pki.store_crls pki.store_ocsp_answer pki.store_certificates"
    " pki.stale_crls policy.fetcher acme.take_exchanges acme.put_answer",
    "ll_housekeeping": "queue.tidy accounts.expire audit.make_partitions vault.unknown_contents pki.tidy"
    " ca.authorities ca.order_signature ca.add_issued ca.revoked ca.put_list ca.answers_due ca.put_answer ca.profiles"
    " ca.add_request ca.requests ca.put_request ca.take_wanted ca.renewals_due ca.warned"
    " ca.settings_for acme.account acme.add_account acme.begin acme.due acme.put acme.order_jws acme.finish"
    " ca.ending ca.warn"
    " queue.accept pki.exports_untold pki.export_told",
}
"""Role: the functions it may execute."""

MAY_CALL_INSIDE = {
    "fn_queue": "accounts.authorise accounts.spend_opening audit.write audit.write_many",
    "fn_policy": "accounts.authorise audit.write",
    "fn_pki": "accounts.authorise audit.write policy.grow_revision policy.resolve",
    "fn_accounts": "audit.write",
    "fn_audit": "accounts.authorise",
    "fn_keyholder": "accounts.authorise_for accounts.end_all audit.write audit.encode queue.suspend",
    "fn_vault": "",
    "fn_ca": "accounts.authorise audit.write policy.grow_revision policy.resolve",
    "fn_acme": "audit.write policy.grow_revision pki.sha1 ca.allow ca.is_ours",
    "fn_partition": "audit.refuse_change",
}
"""Definer: what it may execute besides its own."""

ASK_FUNCTIONS = """
SELECT r.rolname, n.nspname || '.' || p.proname, pg_get_userbyid(p.proowner)
FROM pg_roles r, pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = ANY (%s) AND r.rolname = ANY (%s)
  AND has_function_privilege(r.oid, p.oid, 'EXECUTE') AND has_schema_privilege(r.oid, n.oid, 'USAGE')
"""


def _functions(database: Database, roles: tuple[str, ...], *, own: bool) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    with database.superuser() as connection:
        schemas = [*SCHEMAS, "letterlock", "public"]
        for role, function, owner in connection.execute(ASK_FUNCTIONS, [schemas, list(roles)]):
            if own or owner != role:
                found[role].add(function)
    return {role: found[role] for role in roles}


def test_process_roles_may_execute_exactly_these(database: Database) -> None:
    assert _functions(database, LOGIN_ROLES, own=True) == {role: set(what.split()) for role, what in MAY_CALL.items()}


def test_definers_may_execute_exactly_these(database: Database) -> None:
    expected = {role: set(what.split()) for role, what in MAY_CALL_INSIDE.items()}
    assert _functions(database, DEFINER_ROLES, own=False) == expected


def test_roles_are_those_of_the_process_table() -> None:
    assert {process.role for process in processes.TABLE} - {""} <= set(LOGIN_ROLES)


def test_no_process_role_has_a_right_on_a_table_or_column(database: Database) -> None:
    with database.superuser() as connection:
        rights = connection.execute(
            """
            SELECT r.rolname, c.oid::regclass, a.attname FROM pg_roles r, pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE r.rolname = ANY (%s) AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
              AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
              AND (has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                   OR has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT, INSERT, UPDATE, REFERENCES'))
            """,
            [list(LOGIN_ROLES)],
        ).fetchall()
    assert rights == []


def test_every_function_is_pinned_and_its_definers(database: Database) -> None:
    with database.superuser() as connection:
        loose = connection.execute(
            """
            SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname = ANY (%s) AND (
                NOT p.prosecdef OR NOT coalesce(p.proconfig, '{}') @> ARRAY['search_path=""']
                OR pg_get_userbyid(p.proowner) <> CASE p.oid::regproc::text WHEN 'audit.make_partitions' THEN 'fn_partition'
                                                  ELSE 'fn_' || n.nspname END)
            """,
            [[*SCHEMAS, "letterlock", "public"]],
        ).fetchall()
        twice = connection.execute(
            "SELECT p.pronamespace::regnamespace, p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = ANY (%s) GROUP BY 1, 2 HAVING count(*) > 1",
            [list(SCHEMAS)],
        ).fetchall()
    assert loose == []
    assert twice == []


def test_nobody_may_execute_by_being_public(database: Database) -> None:
    with database.superuser() as connection:
        open_to_all = connection.execute(
            """
            SELECT p.oid::regprocedure FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            WHERE a.grantee = 0 AND p.pronamespace::regnamespace::text = ANY (%s)
               OR a.grantee = 0 AND p.proname ~ '^lo(_|read|write)'
            """,
            [list(SCHEMAS)],
        ).fetchall()
    assert open_to_all == []


def test_definers_cannot_log_in_and_own_functions_only(database: Database) -> None:
    with database.superuser() as connection:
        logins = connection.execute(
            "SELECT rolname FROM pg_roles WHERE (rolname = ANY (%s) OR rolname = 'll_owner') AND"
            " (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)",
            [list(DEFINER_ROLES)],
        ).fetchall()
        tables = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
            " WHERE r.rolname LIKE 'fn!_%%' ESCAPE '!' AND c.relkind IN ('r', 'p', 'S')"
            " AND c.relname !~ '_[0-9]{8}$' ORDER BY 1"
        ).fetchall()
        creators = connection.execute(
            "SELECT r.rolname, n.nspname FROM pg_roles r, pg_namespace n WHERE n.nspname = ANY (%s)"
            " AND (r.rolname LIKE 'fn!_%%' ESCAPE '!' OR r.rolname = ANY (%s))"
            " AND has_schema_privilege(r.oid, n.oid, 'CREATE')",
            [[*SCHEMAS, "public"], list(LOGIN_ROLES)],
        ).fetchall()
        members = connection.execute(
            "SELECT m.rolname FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member"
            " JOIN pg_roles r ON r.oid = a.roleid WHERE r.rolname ~ '^(fn|ll)_' AND m.rolname <> 'll_owner'"
            " AND NOT m.rolsuper"
        ).fetchall()
    assert logins == []
    assert tables == [("audit.entry",), ("audit.entry_other",)]
    assert creators == [("fn_partition", "audit")]
    assert members == []


REFUSED = (
    "SELECT * FROM queue.message",
    "SELECT wrapped_key FROM queue.delivery",
    "SELECT * FROM keyholder.private_key",
    "SELECT * FROM accounts.session",
    "SELECT * FROM audit.entry",
    "UPDATE queue.message SET state = 'received'",
    "DELETE FROM audit.entry",
    "INSERT INTO audit.entry (day, xid, id, at, db_role, action, ok)"
    " VALUES (current_date, '1', gen_random_uuid(), now(), 'x', 'x', true)",
    "SELECT audit.write('a', NULL, 'b', NULL, true, NULL)",
    "SELECT accounts.authorise('\\x00', 'queue.read')",
    "SELECT queue.enter(NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL)",
    "SELECT * FROM letterlock.migration",
    "CREATE TEMPORARY TABLE message (a int)",
    "CREATE TABLE public.t (a int)",
    "CREATE SCHEMA z",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SET ROLE fn_queue",
    "SET ROLE ll_owner",
    "SET SESSION AUTHORIZATION letterlock",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "ALTER ROLE ll_owner LOGIN PASSWORD 'x'",
    "GRANT fn_queue TO ll_flow",
    "DO $$ BEGIN PERFORM pg_reload_conf(); END $$",
)


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_a_captured_process_is_refused(database: Database, role: str) -> None:
    with database.login(role) as connection:
        for statement in REFUSED:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_no_role_may_call_anothers_function(database: Database, role: str) -> None:
    theirs = {name for what in MAY_CALL.values() for name in what.split()} - set(MAY_CALL[role].split())
    with database.superuser() as superuser, database.login(role) as connection:
        for name in sorted(theirs):
            ((types,),) = superuser.execute(
                "SELECT array(SELECT format_type(t, NULL) FROM unnest(proargtypes::oid[]) t) FROM pg_proc"
                " WHERE oid = %s::regproc",
                [name],
            ).fetchall()
            nulls = ", ".join(f"NULL::{one}" for one in types)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {name}({nulls})".encode())


def test_roles_enter_no_other_database(database: Database) -> None:
    who = database.credentials("ll_flow")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(host=who.host, port=who.port, user=who.user, password=who.password, dbname="postgres")
    with pytest.raises(psycopg.OperationalError, match=r"rejects connection|no pg_hba.conf entry"):
        psycopg.connect(host=who.host, port=who.port, user="ll_owner", dbname=database.name)


@pytest.mark.req("I6")
@pytest.mark.parametrize(
    ("definer", "column"),
    [
        ("fn_keyholder", "body FROM queue.message"),
        ("fn_keyholder", "detail FROM audit.entry"),
        ("fn_queue", "wrapped_key FROM keyholder.session"),
        ("fn_queue", "token_hash FROM accounts.session"),
        ("fn_pki", "wrapped FROM keyholder.private_key"),
        ("fn_vault", "sender FROM queue.message"),
        ("fn_ca", "wrapped FROM keyholder.private_key"),
        ("fn_ca", "der FROM pki.certificate"),
        ("fn_keyholder", "der FROM ca.authority"),
        ("fn_policy", "sender FROM queue.message"),
        ("fn_audit", "token_hash FROM accounts.session"),
    ],
)
def test_a_careless_function_reads_no_column_that_is_not_granted(database: Database, definer: str, column: str) -> None:
    schema = definer.removeprefix("fn_")
    with database.superuser() as connection:
        connection.execute(
            f"CREATE FUNCTION {schema}.careless() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER"
            f" SET search_path = '' AS $$ BEGIN RETURN QUERY SELECT {column.replace(' FROM', '::text FROM')}; END $$;"
            f" ALTER FUNCTION {schema}.careless OWNER TO {definer};"
            f" GRANT EXECUTE ON FUNCTION {schema}.careless TO ll_admin; GRANT USAGE ON SCHEMA {schema} TO ll_admin".encode()
        )
    with database.login("ll_admin") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"SELECT {schema}.careless()".encode())


@pytest.mark.req("I5")
def test_only_one_function_makes_up_sql(database: Database) -> None:
    with database.superuser() as connection:
        made_up = connection.execute(
            r"SELECT p.oid::regproc::text FROM pg_proc p WHERE p.pronamespace::regnamespace::text = ANY (%s)"
            r" AND p.prosrc ~* '\m(execute|format)\M'",
            [list(SCHEMAS)],
        ).fetchall()
    assert made_up == [("audit.make_partitions",)]
