"""The configuration of the embedded PostgreSQL, as text.

Guarantees
    Unix socket only; no statement, parameter or DETAIL in the log; little write-ahead log to replay after a crash.
    A setting that an older version does not know is left out for it.

Standards
    PostgreSQL 20 (server configuration), 21.1 (pg_hba.conf), 21.2 (user name maps).

See also
    ``embedded.py``; doctor checks an external server against the same rules.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from letterlock.database.roles import LOGIN_ROLES

SUPERUSER = "letterlock"
MAP = "installation"

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0777",  # the folder is the door
    "max_connections": "60",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "64MB",
    "huge_pages": "off",
    "work_mem": "4MB",
    "maintenance_work_mem": "64MB",
    "dynamic_shared_memory_type": "posix",
    "max_worker_processes": "4",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",  # plans here are small and live long
    "wal_level": "replica",
    "max_wal_senders": "4",
    "max_replication_slots": "4",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # recovery reads at most about this much: at some 100 MB a second it is done well within 5 s
    "max_wal_size": "256MB",
    "min_wal_size": "96MB",
    "checkpoint_timeout": "2min",
    "checkpoint_completion_target": "0.8",
    "wal_buffers": "8MB",
    "autovacuum": "on",
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "10s",
    "autovacuum_vacuum_cost_delay": "1ms",
    "random_page_cost": "1.1",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # what may be in the log: no statement, no parameter, no DETAIL line, at any severity
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] %u ",
    "log_statement": "none",
    "log_duration": "off",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_min_error_statement": "panic",
    "log_min_messages": "error",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_connections": "off",
    "log_disconnections": "off",
    "log_lock_waits": "off",
    "log_autovacuum_min_duration": "-1",
    "log_checkpoints": "off",
    "debug_print_parse": "off",
    "track_activity_query_size": "256",
}
_SINCE = {
    17: {"transaction_timeout": "300s"},
    18: {"io_method": "sync", "file_copy_method": "clone"},  # no extra processes: reads here come from the cache
}


def configuration(socket: Path, version: int, extra: dict[str, str]) -> str:
    """postgresql.conf. ``socket``: the folder of its socket."""
    settings = dict(_SETTINGS, unix_socket_directories=str(socket))
    for since, values in _SINCE.items():
        if version >= since:
            settings |= values
    settings |= extra
    lines = [f"{name} = '{_quoted(value)}'" for name, value in settings.items()]
    return "# Written at each start; edits do not last.\n" + "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def authentication(databases: str) -> str:
    """pg_hba.conf: the superuser by OS user, the process roles by password, nobody else."""
    return (
        f"local all {SUPERUSER} peer map={MAP}\n"
        f"local {databases} {','.join(LOGIN_ROLES)} scram-sha-256\n"
        "local replication all reject\n"
        "local all all reject\n"
    )


def identities() -> str:
    """pg_ident.conf: root and the installation's own OS user are the superuser."""
    names = dict.fromkeys(("root", pwd.getpwuid(os.geteuid()).pw_name))
    return "".join(f'{MAP} "{name}" {SUPERUSER}\n' for name in names)
