"""What the schema is, as text: tables, columns, constraints, indexes, functions, rights; the same on every PostgreSQL.

Partitions for single days are left out: they differ every day.

``python -m tests.database.catalogue`` writes ``snapshot.txt`` anew; read the difference before it is committed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg

SNAPSHOT = Path(__file__).with_name("snapshot.txt")

DAY = re.compile(r"\bentry_\d{8}")

_SCHEMAS = "('queue', 'policy', 'pki', 'accounts', 'audit', 'keyholder', 'vault', 'ca', 'acme', 'letterlock')"

_QUERIES = {
    "domains": f"""
        SELECT t.oid::regtype || ': ' || string_agg(pg_get_constraintdef(c.oid), ' ' ORDER BY c.conname)
        FROM pg_type t JOIN pg_constraint c ON c.contypid = t.oid
        WHERE t.typnamespace::regnamespace::text IN {_SCHEMAS} AND t.typtype = 'd' GROUP BY t.oid""",
    "columns": f"""
        SELECT format('%s.%s %s%s%s%s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attnotnull THEN ' not null' END, ' default ' || pg_get_expr(d.adbin, d.adrelid),
            CASE a.attstorage WHEN 'e' THEN ' external' END)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace::regnamespace::text IN {_SCHEMAS} AND c.relkind IN ('r', 'p')""",
    "tables": f"""
        SELECT format('%s owner %s%s', c.oid::regclass, pg_get_userbyid(c.relowner),
            ' with ' || array_to_string(c.reloptions, ' '))
        FROM pg_class c WHERE c.relnamespace::regnamespace::text IN {_SCHEMAS} AND c.relkind IN ('r', 'p')""",
    "constraints": f"""
        SELECT format('%s %s', c.conrelid::regclass, pg_get_constraintdef(c.oid)) FROM pg_constraint c
        WHERE c.connamespace::regnamespace::text IN {_SCHEMAS} AND c.contype IN ('p', 'u', 'c', 'f') AND c.conrelid <> 0""",
    "indexes": f"SELECT indexdef FROM pg_indexes WHERE schemaname IN {_SCHEMAS}",
    "triggers": f"""
        SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace::regnamespace::text IN {_SCHEMAS} AND NOT t.tgisinternal""",
    "functions": f"""
        SELECT format('%s(%s) returns %s owner %s%s %s to %s', p.oid::regproc, pg_get_function_arguments(p.oid),
            pg_get_function_result(p.oid), pg_get_userbyid(p.proowner), CASE WHEN p.prosecdef THEN ' definer' END,
            array_to_string(p.proconfig, ' '),
            (SELECT string_agg(CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END, ' '
                               ORDER BY pg_get_userbyid(a.grantee))
             FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee <> p.proowner))
        FROM pg_proc p WHERE p.pronamespace::regnamespace::text IN {_SCHEMAS}""",
    "schemas": f"""
        SELECT format('%s %s %s', n.nspname, pg_get_userbyid(a.grantee), string_agg(a.privilege_type, ' '
                      ORDER BY a.privilege_type))
        FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname IN {_SCHEMAS} AND a.grantee <> n.nspowner
        GROUP BY n.nspname, a.grantee""",
    "rights": f"""
        SELECT format('%s %s %s %s', pg_get_userbyid(x.grantee), x.privilege_type, x.relation,
                      string_agg(x.attname, ' ' ORDER BY x.attname))
        FROM (SELECT a.grantee, a.privilege_type, c.oid::regclass AS relation, NULL AS attname
              FROM pg_class c, aclexplode(c.relacl) a
              WHERE c.relnamespace::regnamespace::text IN {_SCHEMAS} AND a.grantee <> c.relowner
              UNION ALL
              SELECT b.grantee, b.privilege_type, c.oid::regclass, t.attname
              FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) b
              WHERE c.relnamespace::regnamespace::text IN {_SCHEMAS}) x
        GROUP BY x.grantee, x.privilege_type, x.relation""",
}


def describe(connection: psycopg.Connection[Any]) -> str:
    """The schema of a database, one fact a line. ``connection``: a superuser's."""
    parts = []
    for title, query in _QUERIES.items():
        found = (" ".join(line.split()) for (line,) in connection.execute(query.encode()))
        lines = sorted(line for line in found if not DAY.search(line))
        parts.append(f"# {title}\n" + "".join(f"{line}\n" for line in lines))
    return "\n".join(parts)


def main() -> None:
    """Write the snapshot of a freshly migrated database."""
    from tests.fakes.postgres import TEMPLATE, Server

    server = Server(None)
    try:
        with server.superuser(TEMPLATE) as connection:
            SNAPSHOT.write_text(describe(connection))
    finally:
        server.remove()


if __name__ == "__main__":
    main()
