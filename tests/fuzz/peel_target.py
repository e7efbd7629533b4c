"""Whole messages through peel: shown as signed is only what was signed, and prey never stands in another's frame.

See also
    ``src/letterlock/smime/peel.py``, ``judge.py``, ``header_protection.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from letterlock.mail.message import HeaderTooLarge, Message
from letterlock.pki.certificate import parse
from letterlock.pki.trust import Trust
from letterlock.smime.canonical import canonical
from letterlock.smime.errors import OK, AddressMismatch
from letterlock.smime.header_protection import protected
from letterlock.smime.judge import asks_path, judge
from letterlock.smime.peel import Peeled, peel
from tests.fakes.people import SIGNED_AT
from tests.fuzz import scene
from tests.fuzz.oracle import holds, told
from tests.fuzz.scene import CANARY, SIGNED, Scene

_EVERYBODY: Final = ("alice@example.org", "ann@example.org", "bob@example.org", "rob@example.org")
_BODIES = [each.partition(b"\r\n\r\n")[2] for each in SIGNED]


def target(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    """The target among these people."""
    vouched = {each.der for each in (stage.alice, stage.ann, stage.bob, stage.rob, stage.issuer)}

    trust = Trust([parse(stage.issuer.der)])

    def run(octets: bytes) -> None:
        message = Message(octets)
        found = told(lambda: scene.now(peel(message, stage.keys, most_octets=1 << 20)), HeaderTooLarge).value
        if isinstance(found, Peeled):
            _sealed(found, octets)
            _signed(found, vouched)
            _protected(message, found, trust)

    return run


def _sealed(found: Peeled, octets: bytes) -> None:
    """What only a tag let out stands alone, and is what was sealed."""
    opened = [each for each in found.layers if each.kind == "encrypted" and each.opened]
    if opened and all(each.cipher.endswith("gcm") for each in opened) and CANARY not in octets:
        bare = found.bare()
        if CANARY in bytes(bare.octets):
            holds(bytes(bare.body) in _BODIES, "decrypted text in a frame that nobody sealed")


def _signed(found: Peeled, vouched: set[bytes]) -> None:
    if not found.layers or found.layers[-1].kind != "signed" or not found.layers[-1].opened:
        return
    layer = found.layers[-1]
    by = [each.signer for each in layer.outcomes if each.verdict == OK and each.signer]
    if any(each.certificate.der in vouched for each in by):
        shown = bytes(canonical(layer.inside + bytes(found.payload.body)))
        holds(shown in SIGNED, "shown as signed by who did not sign it")


def _protected(message: Message, found: Peeled, trust: Trust) -> None:
    inner = protected(message, found.layers, found.payload)
    for layer in found.layers:
        for each in layer.outcomes:
            path = None
            if each.signer is not None and asks_path(each):
                path = trust.verdict(each.signer.certificate, SIGNED_AT + timedelta(days=7), "sign")
            said = judge(each, message, path, inner)
            holds(said.verdict != OK or _is_one_author(message, said.addresses), "ok for another author")
    if inner is not None:
        _ = inner.subject, inner.names
        told(lambda: inner.author, AddressMismatch)


def _is_one_author(message: Message, addresses: tuple[str, ...]) -> bool:
    """Read anew, and simply: one From field, in which no other address of the people here stands."""
    values = message.values(b"from")
    others = [each for each in _EVERYBODY if each not in addresses]
    return len(values) == 1 and not any(each in values[0].decode("latin-1").lower() for each in others)


def seeds(stage: Scene) -> list[bytes]:
    """Where it starts."""
    return scene.messages(stage)
