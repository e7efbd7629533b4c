"""Requests over their life: made, carried out, tried again, asked for by flow and for certificates that end.

Order (housekeeping, each time)
    Addresses that flow wants a certificate for become requests; so do certificates that end soon (those from elsewhere:
    ``ending.py``, which warns, too); then what is due is carried out; then lists and answers that are due are made.

Guarantees
    A temporary failure is tried again after 1, 2, 4 ... minutes, a day at most, MOST_TRIES times; then the request has
    failed and says why. One request that fails stops no other. One address has one open request at a time.
    A certificate is renewed with a new key while the old one still holds, so both overlap; the old key stays.

Raises
    What the database raises; faults of a single request are kept with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from cryptography import x509
from cryptography.x509.oid import NameOID

from letterlock.errors import LetterlockError
from letterlock.pki.ca import calls, ending
from letterlock.pki.ca.arguments import NewRequest
from letterlock.pki.ca.calls import Request
from letterlock.pki.ca.handlers import HANDLERS
from letterlock.pki.ca.issue import Office, Subject
from letterlock.pki.ca.profile import DEFAULT, LONGEST_DAYS
from letterlock.pki.ca.publish import refresh
from letterlock.vault.keys import new_id

MOST_TRIES: Final = 12
LONGEST_WAIT: Final = timedelta(days=1)
BATCH: Final = 100
WARN_WITHIN: Final = timedelta(days=14)

_log = logging.getLogger("letterlock.ca")


class Wish(NamedTuple):
    """How to ask. ``authority`` empty: the newest issuing one."""

    handler: str = "builtin"
    authority: str = ""
    profile: str = DEFAULT
    organisation: UUID | None = None


async def ask(office: Office, subject: Subject, wish: Wish, source: str = "person") -> tuple[str, UUID | None]:
    """Enter a request: 'done' or 'already', and its id. Raises RequestInvalid."""
    checked = subject.checked()
    arguments = NewRequest(
        token=office.token,
        id=new_id(),
        organisation=wish.organisation,
        handler=wish.handler,
        authority=wish.authority,
        profile=wish.profile,
        address=checked.address,
        name=checked.name,
        source=source,
    )
    return await calls.add_request(office.gate, **arguments)


async def carry_out(office: Office, request: Request, now: datetime) -> str:
    """Have a due request carried out, and keep what became of it: its new state."""
    change: dict[str, Any] = {"reason": "", "due_at": now, "key_id": None, "csr": None, "issued": None}
    try:
        outcome = await HANDLERS[request.handler].carry_out(office, request, now)
        state: str = outcome.state
        change |= {"key_id": outcome.key_id, "csr": outcome.csr, "issued": outcome.issued}
    except LetterlockError as fault:
        again = not fault.permanent and request.tries + 1 < MOST_TRIES
        state = "due" if again else "failed"
        wait = min(timedelta(minutes=2.0**request.tries), LONGEST_WAIT)
        change |= {"reason": fault.public, "due_at": now + wait}
        _log.warning(
            "a request for a certificate was not carried out",
            extra={"event": "ca.failed", "id": request.id, "state": state, "why": str(fault)},
        )
    await calls.put_request(
        office.gate,
        token=office.token,
        id=request.id,
        state=state,
        reason=change["reason"],
        due_at=change["due_at"],
        key_id=change["key_id"],
        csr=change["csr"],
        issued=change["issued"],
    )
    return state


async def carry_out_due(office: Office, now: datetime, patience: timedelta = timedelta()) -> None:
    """Take up what mail of our senders asked for, and carry out what is due: somebody may be waiting.

    ``patience``: for which a person's request is left to the command that made it and is carrying it out."""
    await _ask_for_wanted(office)
    found = await calls.requests(office.gate, token=office.token, due=True, max=BATCH)
    due = [each for each in found if each.source != "person" or now - each.due_at >= patience]
    for request in due:
        await carry_out(office, request, now)
    if due:
        await refresh(office, now)


async def work(office: Office, now: datetime, patience: timedelta = timedelta()) -> None:
    """Everything housekeeping does for the authority; see Order above. ``patience``: as carry_out_due has it."""
    profiles = {each.name: each.body for each in await calls.profiles(office.gate, token=office.token)}
    await _ask_for_renewals(office, profiles, now)
    for each in await ending.look(office, profiles, now):
        wish = Wish(each.handler, each.authority, each.profile, each.organisation)
        await _ask_quietly(office, Subject(each.address, each.name), wish, "renewal")
    await carry_out_due(office, now, patience)
    await refresh(office, now)


async def _ask_for_wanted(office: Office) -> None:
    settings: dict[str, dict[str, Any]] = {}
    for address, name, value, _level, _origin in await calls.take_wanted(office.gate, max=BATCH):
        settings.setdefault(address, {})[name] = value
    for address, found in settings.items():
        if found.get("smime_auto_request_cert") is not True:
            continue
        wish = Wish(found.get("smime_request_handler", "builtin"), "", found.get("smime_request_profile", DEFAULT))
        await _ask_quietly(office, Subject(address), wish, "automatic")


async def _ask_for_renewals(office: Office, profiles: Mapping[str, Any], now: datetime) -> None:
    for each in await calls.renewals_due(office.gate, within=timedelta(days=LONGEST_DAYS), max=10 * BATCH):
        days = profiles.get(each.profile, {}).get("renew_days", 30)
        if each.not_after - now > timedelta(days=days):
            continue
        if not each.warned and each.not_after - now < WARN_WITHIN:
            _log.warning(
                "a certificate ends soon and is not renewed yet",
                extra={
                    "event": "ca.ends-soon",
                    "id": each.id,
                    "domain": each.address.rpartition("@")[2],
                    "seconds": (each.not_after - now).total_seconds(),
                },
            )
            await calls.warned(office.gate, id=each.id)
        common = x509.load_der_x509_certificate(each.der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        subject = Subject(each.address, str(common[0].value) if common else "")
        await _ask_quietly(office, subject, Wish("builtin", each.authority, each.profile), "renewal")


async def _ask_quietly(office: Office, subject: Subject, wish: Wish, source: str) -> None:
    try:
        await ask(office, subject, wish, source)
    except LetterlockError as fault:
        _log.warning("no certificate was asked for", extra={"event": "ca.failed", "why": str(fault)})
