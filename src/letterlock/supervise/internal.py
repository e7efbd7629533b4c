"""What the supervisor's own interpreters do: ``_spawn`` and ``_prepare``. Not for people.

See also
    ``parents.py``, which starts them.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Sequence

import msgspec

from letterlock.config import approved
from letterlock.config.start import Credentials
from letterlock.errors import LetterlockError
from letterlock.supervise import linux

_log = logging.getLogger("letterlock.supervise")


def main(words: Sequence[str]) -> int:
    """``_spawn DESCRIPTOR SUPERVISOR MODULE...`` or ``_prepare``; the exit code."""
    if os.environ.get("LETTERLOCK_RUN_CRYPTO_PROFILE") == "fips":
        approved.keep("fips")
    if words[0] == "_spawn" and len(words) > 2:
        from letterlock.supervise import spawner

        return spawner.serve(socket.socket(fileno=int(words[1])), words[3:], int(words[2]))
    if words[0] == "_prepare":
        return _prepare()
    sys.stderr.write("letterlock: this word is for the supervisor only.\n")
    return 2


def _prepare() -> int:
    from letterlock.supervise.parents import Errand, Prepared
    from letterlock.telemetry import log

    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
    log.configure("prepare", errand.log)
    linux.die_with_parent(errand.supervisor)
    try:
        prepared = Prepared(_make_ready(errand.administrator))
    except LetterlockError as fault:
        prepared = Prepared(fault=str(fault))
    os.write(1, msgspec.json.encode(prepared))
    return 3 if prepared.fault else 0


def _make_ready(administrator: dict[str, str]) -> dict[str, Credentials]:
    """Migrate, then new passwords; credentials for each login role."""
    from letterlock.database.migrate import migrate, open_database
    from letterlock.database.roles import set_passwords

    with open_database(**administrator) as connection:
        applied = migrate(connection)
        if applied:
            _log.info("the schema was brought to this version", extra={"files": len(applied)})
        passwords = set_passwords(connection)
        where = connection.info
        return {
            role: Credentials(where.host, where.port, role, password, where.dbname)
            for role, password in passwords.items()
        }
