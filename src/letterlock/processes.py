"""The table of processes: name, station, database role, how many. The one place to add a process.

Guarantees
    One process, one database role, its own EXECUTE grants; a test compares the roles with database/sql/roles.sql.
    The order is the order of starting: who needs the keyholder comes after it.

See also
    ``supervise/`` (starts and watches them), ARCHITECTURE.md (what each may do).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from letterlock.config.settings import Settings


def _one(_settings: Settings) -> int:
    return 1


def _listeners(settings: Settings) -> int:
    return settings.smtp.processes


def _half_the_cores(_settings: Settings) -> int:
    # flow needs a third of the time a message costs; one more of it would only make the batches smaller and dearer
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _public(settings: Settings) -> int:
    return 1 if settings.http.public else 0


class Process(NamedTuple):
    """One row. ``offline``: commands need it too while the gateway does not run. ``key_role``: the role it has at the
    keyholder, empty when it asks it for nothing. ``hands_over``: flow and delivery pass finished octets to one another."""

    name: str
    module: str
    role: str
    how_many: Callable[[Settings], int] = _one
    offline: bool = False
    key_role: str = ""
    hands_over: bool = False


TABLE = (
    Process("keyholder", "letterlock.keyholder.serve", "ll_keyholder", offline=True),
    Process("doorkeeper", "letterlock.doorkeeper.serve", "ll_login", offline=True),
    Process("delivery", "letterlock.delivery.agent", "ll_deliver", key_role="delivery", hands_over=True),
    Process("flow", "letterlock.flow.worker", "ll_flow", _half_the_cores, key_role="flow", hands_over=True),
    Process("fetch", "letterlock.fetch.station", "ll_fetch"),
    Process("housekeeping", "letterlock.housekeeping.clock", "ll_housekeeping", key_role="housekeeping"),
    Process("smtpd", "letterlock.smtpd.listener", "ll_receive", _listeners, key_role="smtpd"),
    Process("admin", "letterlock.admin.serve", "ll_admin", _public),
)

ADMIN_ROLE = "ll_admin"
ADMIN_KEY_ROLE = "admin"
"""The role of an administrator's command; the doorkeeper hands its credentials to whom it admits."""
