"""Which signers are trusted now: anchors, intermediates and the trust list, read anew at each revision of the policy;
what is known of revocation, read when a signer is asked about.

See also
    ``pki/trust.py`` for verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from letterlock.database.connect import Gate
from letterlock.pki import calls
from letterlock.pki.at_hand import AtHand
from letterlock.pki.certificate import Certificate
from letterlock.pki.ctl import Ctl
from letterlock.pki.trust import Trust

_MOST_CHAINS = 10_000


class SignerTrust:
    """The trust of one process, as of a revision."""

    def __init__(self, gate: Gate, at_hand: AtHand) -> None:
        self._gate = gate
        self._at_hand = at_hand
        self._trust: Trust | None = None
        self._revision = -1
        self._chains: dict[tuple[bytes, int], tuple[bytes, ...]] = {}

    async def at(self, revision: int) -> Trust:
        """The trust of ``revision`` or a later one."""
        if self._trust is None or revision > self._revision:
            listed = Ctl.of_rows(await calls.ctl_entries(self._gate), revision)
            shapes = self._trust.shapes if self._trust else None
            self._trust = Trust.of_rows(await calls.authorities(self._gate), revision, listed, shapes=shapes)
            self._revision = revision
            self._chains = {}
        return self._trust

    async def informed(
        self, revision: int, certificates: Iterable[Certificate], brought: Sequence[Certificate], at: datetime
    ) -> Trust:
        """The same with what is at hand about the revocation of these. ``brought``: certificates of their message."""
        trust = await self.at(revision)
        return (await self._at_hand.inform(trust, certificates, at.timestamp(), brought)).trust

    async def chain(self, certificate: Certificate, revision: int, at: datetime) -> tuple[bytes, ...]:
        """The certificates between ``certificate`` and its anchor, DER, sent along with a signature (RFC 8551 2.3)."""
        trust = await self.at(revision)
        key = (certificate.thumbprint, int(at.timestamp()) // 3600)
        found = self._chains.get(key)
        if found is None:
            if len(self._chains) >= _MOST_CHAINS:
                self._chains.clear()
            found = tuple(each.der for each in trust.verdict(certificate, at, "sign").path[1:-1])
            self._chains[key] = found
        return found
