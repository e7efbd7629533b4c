"""Certificates that end soon: renewed where they came from, and told of by mail, wherever they came from.

Order
    Those of our own authority are renewed in ``pending.py``. Here: one that came by ACME is asked for again by ACME; one
    that came by PKCS #10 gets a new PKCS #10 request, which an administrator carries to its authority. Both as early as
    the profile's renew_days say, with a new key, while the old one still holds. Then owner and postmaster are warned.

Guarantees
    A renewal is asked for once: while a request is open, and for a day after one that failed, there is no other.
    A warning is mailed once for each certificate, step (setting certificate_warnings) and reader. What renews itself is
    warned of only from the first step after its renewal was due: when it did not work. What a newer certificate with a key
    replaces is left alone, and so is what was revoked.

Standards
    RFC 5280 4.1.2.5 (validity), RFC 5321 4.5.1 (postmaster).

Raises
    What the database raises.

See also
    ``flow/warnings.py``, which mails; database/sql/functions/ca/ending.sql.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from letterlock.errors import LetterlockError
from letterlock.pki.ca import calls
from letterlock.pki.ca.calls import Ending
from letterlock.pki.ca.issue import Office
from letterlock.policy.calls import EffectiveValue
from letterlock.policy.effective import EffectiveSettings, of_rows
from letterlock.policy.settings import authority, mail

MOST: Final = 1000
RENEWED_HERE: Final = ("acme", "pkcs10")
BY_THEMSELVES: Final = ("builtin", "delayed", "acme")
RENEW_DAYS: Final = 30
AGAIN_AFTER: Final = timedelta(days=1)

_log = logging.getLogger("letterlock.ca")


def wanted(rows: list[Ending], profiles: Mapping[str, Mapping[str, Any]], now: datetime) -> list[Ending]:
    """Those whose renewal is to be asked for now."""
    return [
        each
        for each in rows
        if each.handler in RENEWED_HERE
        and each.open is None
        and (each.failed_at is None or now - each.failed_at > AGAIN_AFTER)
        and each.not_after - now <= timedelta(days=_renew_days(each, profiles))
    ]


async def look(office: Office, profiles: Mapping[str, Mapping[str, Any]], now: datetime) -> list[Ending]:
    """Warn of what is to be warned of; those whose renewal is to be asked for."""
    horizon = max([authority.MOST_WARNED_DAYS, *(_days(each) for each in profiles.values())])
    rows = list(await calls.ending(office.gate, at=now, within=timedelta(days=horizon), max=MOST))
    near = [each for each in rows if each.not_after - now <= timedelta(days=authority.MOST_WARNED_DAYS)]
    addresses = sorted({each.address for each in near})
    found = await calls.settings_for(office.gate, token=office.token, addresses=addresses) if addresses else ()
    values: dict[str, list[EffectiveValue]] = {}
    for value in found:
        values.setdefault(value.address, []).append(value)
    for each in near:
        try:
            settings = of_rows([each.address], values.get(each.address, ()))[each.address]
            await _warn(office, each, settings, profiles, now)
        except LetterlockError as fault:  # settings of one address that nobody can read stop no other
            _log.warning(
                "nobody was warned of a certificate that ends", extra={"event": "ca.failed", "why": str(fault)}
            )
    return wanted(rows, profiles, now)


def step(each: Ending, steps: tuple[str, ...], profiles: Mapping[str, Mapping[str, Any]], now: datetime) -> int | None:
    """The step that is to be warned of now; None: none, or it was."""
    left = each.not_after - now
    due = [days for days in map(int, steps) if timedelta() < left <= timedelta(days=days)]
    if each.handler in BY_THEMSELVES:
        due = [days for days in due if days < _renew_days(each, profiles)]
    found = min(due, default=None)
    return None if found in each.warned else found


async def _warn(
    office: Office,
    each: Ending,
    settings: EffectiveSettings,
    profiles: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> None:
    days = step(each, settings.value(authority.CERTIFICATE_WARNINGS), profiles, now)
    if days is None:
        return
    postmaster = settings.effective(mail.POSTMASTER)
    domain = each.address.rpartition("@")[2].removeprefix("*.")
    contact = f"postmaster@{domain}" if postmaster.level == "factory" else postmaster.value
    owner = [] if each.address.startswith("@") else [each.address]
    readers = list(dict.fromkeys([*owner, contact]))
    await calls.warn(
        office.gate,
        certificate=each.id,
        days=days,
        address=each.address,
        contact=contact,
        recipients=readers,
        mails=[_mail(each.id, days, reader) for reader in readers],
    )


def _renew_days(each: Ending, profiles: Mapping[str, Mapping[str, Any]]) -> int:
    return _days(profiles.get(each.profile, {}))


def _days(profile: Mapping[str, Any]) -> int:
    return int(profile.get("renew_days", RENEW_DAYS))


def _mail(certificate: UUID, days: int, reader: str) -> UUID:
    """The notice's id: the same whenever it is made."""
    return uuid5(NAMESPACE_OID, f"{certificate} {days} {reader}")
