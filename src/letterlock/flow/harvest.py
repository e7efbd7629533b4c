"""Keep the certificates of correspondents whose signed mail came in.

Guarantees
    Only mail from outside to an internal recipient, and only where smime_auto_import says so. What this process has
    handed over in the last hour is not handed over again: no call; else one call for each certificate.
    A failure is logged and harms no message.

See also
    ``pki/harvest.py`` (which), ``carry_out.py`` beside which this is done; decision 0015 (when a key changes).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from letterlock.database.connect import Gate
from letterlock.decision.known import Facts
from letterlock.errors import LetterlockError
from letterlock.mail import compose
from letterlock.pki import calls
from letterlock.pki.certificate import Certificate
from letterlock.pki.harvest import Found
from letterlock.policy.settings import smime
from letterlock.telemetry.events import emit
from letterlock.vault.keys import new_id

REMEMBERED_FOR: Final = 3600.0  # seconds
_MOST_REMEMBERED: Final = 20_000

_TOLD: Final = {"none": (), "waiting": ("waiting",), "all": ("waiting", "new")}

_log = logging.getLogger("letterlock.flow")


class NewKey(NamedTuple):
    """A correspondent's certificate with a key that was not known."""

    address: str
    certificate: Certificate
    waits: bool

    def variables(self, now: float) -> dict[str, object]:
        """Of the notice key_changed."""
        return {
            "address": self.address,
            "subject": self.certificate.subject,
            "issuer": self.certificate.issuer,
            "thumbprint": self.certificate.thumbprint.hex(),
            "waits_since": compose.date(now) if self.waits else "",
        }


class Harvester:
    """The harvest of one process, with a memory of what was handed over."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._known: dict[tuple[bytes, str, frozenset[str] | None, bool], float] = {}

    async def keep(self, message: UUID, found: Sequence[Found], facts: Facts) -> list[NewKey]:
        """Hand over what is new; the keys to tell postmaster of. Never raises what is only a matter of the store."""
        settings = facts.sender.settings
        if not found or facts.sender.internal or not settings.value(smime.SMIME_AUTO_IMPORT):
            return []
        told: list[NewKey] = []
        wait = settings.value(smime.SMIME_AUTO_IMPORT_APPROVAL)
        for each in found:
            key = (each.certificate.thumbprint, each.address, each.capabilities, each.preferred)
            if self._known.get(key, 0.0) > time.monotonic():
                continue
            try:
                kept = await self._keep(each, wait=wait)
            except LetterlockError as error:
                _log.warning("message %s: its certificates were not kept: %s", message, error)
                break
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = time.monotonic() + REMEMBERED_FOR
            if kept.answer != "already":
                state = f"{kept.answer}-other-key" if kept.other_key else kept.answer
                emit.certificate_harvested(id=message, state=state)
            if kept.other_key and kept.answer in _TOLD[settings.value(smime.SMIME_KEY_CHANGE_NOTICE)]:
                told.append(NewKey(each.address, each.certificate, waits=kept.answer == "waiting"))
        return told

    async def _keep(self, found: Found, *, wait: bool) -> calls.Harvested:
        certificate = found.certificate
        return await calls.harvest(
            self._gate,
            id=new_id(),
            der=certificate.der,
            fingerprint=certificate.thumbprint,
            subject=certificate.subject,
            issuer=certificate.issuer,
            serial=certificate.issuer_serial,
            ski=certificate.key_identifier,
            address=found.address,
            addresses=certificate.addresses,
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            capabilities=None if found.capabilities is None else sorted(found.capabilities),
            preferred=found.preferred,
            signed_at=found.signed_at,
            wait=wait,
        )
