"""Our keys for the recipients of an encrypted layer of a leased message; smime.party.KeyLookup.

Guarantees
    No key is here: each is used by the keyholder, which decides by the sealed envelope. For mail that comes in, a key of
    its sender's is not asked for; where the sender's is wanted, no other is.

See also
    ``decrypt.py`` and ``reopen.py``, which ask; ``keyholder/private_keys.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from letterlock.flow.work import Work
from letterlock.pki import calls
from letterlock.pki.certificate import match_form, parse
from letterlock.pki.errors import MalformedCertificate
from letterlock.pki.private_key import KeyholderKey
from letterlock.smime.party import OwnKey, RecipientId

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts


class OwnKeys:
    """For one message."""

    def __init__(self, crafts: Crafts, work: Work, *, only: str = "") -> None:
        """``only``: the address, in match form, whose keys are used; empty: those of the recipients."""
        self._crafts = crafts
        self._row = work.row
        self._only = only
        self._sender = match_form(work.envelope.sender)
        self._recipients = {match_form(each.address) for each in work.envelope.recipients}

    async def find(self, recipients: Sequence[RecipientId]) -> Sequence[OwnKey]:
        """Those of our keys whose certificate one of ``recipients`` names."""
        rows = await calls.own_certificates(
            self._crafts.gate,
            serials=[each.issuer_serial for each in recipients if each.issuer_serial],
            skis=[each.key_identifier for each in recipients if each.key_identifier],
        )
        found: list[OwnKey] = []
        for row in rows:
            if not self._may(row.addresses):
                continue
            try:
                certificate = parse(bytes(row.der))
            except MalformedCertificate:
                continue
            key = KeyholderKey(self._crafts.keyholder, self._row.lease, self._row.id, row.key_id)
            found.append(OwnKey(certificate, key))
        return found

    def _may(self, addresses: Sequence[str]) -> bool:
        if self._only:
            return self._only in addresses
        return self._sender not in addresses or bool(self._recipients.intersection(addresses))
