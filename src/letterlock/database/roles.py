"""Who exists in the database: applies sql/roles.sql, and gives the login roles their passwords.

Guarantees
    Passwords are made anew at each start (192 random bits) and never travel: the server gets the SCRAM verifier.
    Where the processes are OS users of their own, peer authentication makes them needless.

Standards
    RFC 5802, RFC 7677 (SCRAM-SHA-256).

See also
    ``processes.py``, whose table a test compares with LOGIN_ROLES.
"""

from __future__ import annotations

import secrets
from typing import Any

import psycopg
from psycopg import sql

from letterlock.database.files import read

LOGIN_ROLES = (
    "ll_receive",
    "ll_flow",
    "ll_deliver",
    "ll_admin",
    "ll_login",
    "ll_keyholder",
    "ll_fetch",
    "ll_housekeeping",
)
DEFINER_ROLES = (
    "fn_queue",
    "fn_policy",
    "fn_pki",
    "fn_accounts",
    "fn_audit",
    "fn_keyholder",
    "fn_vault",
    "fn_ca",
    "fn_acme",
    "fn_partition",
)
OWNER = "ll_owner"


def apply_roles(connection: psycopg.Connection[Any]) -> None:
    """Make the roles, the schemas and the revocations; idempotent. ``connection``: a superuser's, autocommit."""
    with connection.transaction():
        connection.execute(read("roles.sql"))
        allow_connecting(connection)


def allow_connecting(connection: psycopg.Connection[Any]) -> None:
    """Only the login roles may enter this database, and nobody may make a temporary table in it."""
    name = sql.Identifier(connection.info.dbname)
    roles = sql.SQL(", ").join(map(sql.Identifier, LOGIN_ROLES))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, roles))


def set_passwords(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """New passwords for the login roles: role to password. ``connection``: a superuser's, autocommit."""
    passwords = {role: secrets.token_urlsafe(24) for role in LOGIN_ROLES}
    with connection.transaction():
        for role, password in passwords.items():
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
            )
    return passwords
