"""CMS objects: the same whatever the buffers; nobody's signature fits what he did not sign; nothing forged is opened.

See also
    ``src/letterlock/smime/cms_read.py``, ``describe.py``, ``decrypt.py``, ``verify.py``, ``decompress.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from letterlock.asn1.ber import Buffer
from letterlock.smime.cms_read import Envelope
from letterlock.smime.decompress import decompress
from letterlock.smime.decrypt import Enveloped
from letterlock.smime.describe import describe
from letterlock.smime.errors import OK, SmimeError
from letterlock.smime.spool import MemorySpool
from letterlock.smime.verify import Examined, examine_detached, examine_opaque
from tests.fuzz import scene
from tests.fuzz.oracle import cuttings, holds, same, told
from tests.fuzz.scene import ENTITY, Scene

_NEVER_SIGNED = ENTITY.replace(b"canary", b"vulture")


def target(stage: Scene, own: list[bytes]) -> Callable[[bytes], None]:
    """The target among these people."""
    vouched = {each.der for each in (stage.alice, stage.ann, stage.bob, stage.rob, stage.issuer)}

    def run(octets: bytes) -> None:
        ways = [[octets], *cuttings(octets)]
        said = [told(lambda way=way: describe(lambda: way), SmimeError) for way in ways]
        fits = [told(lambda way=way: _outcomes(examine_detached(way, ENTITY)), SmimeError) for way in ways]
        holding = [told(lambda way=way: _opaque(way), SmimeError) for way in ways]
        small = [told(lambda way=way: _inflated(way), SmimeError) for way in ways]
        headers = [told(lambda way=way: _facts(Enveloped(lambda: way).envelope), SmimeError) for way in ways]
        for each in (said, fits, holding, small, headers):
            for other in each[1:]:
                same(each[0], other, "another cutting")
        forged = told(lambda: examine_detached([octets], _NEVER_SIGNED), SmimeError)
        if not forged.refused:
            _never(forged.value, vouched)
        if not holding[0].refused:
            content, examined = holding[0].value
            if content != ENTITY:
                holds(not any(how == OK and who in vouched for who, how in examined), "signed by nobody")
        if not headers[0].refused:
            _open(octets, stage)

    return run


def _outcomes(examined: Examined) -> list[tuple[bytes, str]]:
    return [(each.signer.certificate.der if each.signer else b"", each.verdict) for each in examined.outcomes]


def _never(examined: Examined, vouched: set[bytes]) -> None:
    holds(not any(how == OK and who in vouched for who, how in _outcomes(examined)), "signed by nobody")


def _opaque(source: Iterable[Buffer]) -> tuple[bytes, list[tuple[bytes, str]]]:
    spool = MemorySpool()
    examined = examine_opaque(source, spool.write)
    return bytes(spool.octets()), _outcomes(examined)


def _inflated(source: Iterable[Buffer]) -> bytes:
    spool = MemorySpool()
    decompress(source, _Bounded(spool))
    return bytes(spool.octets())


class _Bounded:
    """A sink of at most 4 MiB, as the real one has an end too."""

    def __init__(self, spool: MemorySpool) -> None:
        self._spool = spool
        self._left = 4 << 20

    def write(self, octets: Buffer) -> None:
        self._left -= len(octets)
        if self._left < 0:
            raise SmimeError(detail="too large")
        self._spool.write(octets)

    def clear(self) -> None:
        self._spool.clear()


def _facts(envelope: Envelope) -> tuple[object, ...]:
    names = [(type(each).__name__, each.recipient) for each in envelope.recipients]
    cipher = (envelope.cipher.name, envelope.vector, envelope.authenticated)
    return (*cipher, names, len(envelope.passwords), envelope.strangers)


def _open(octets: bytes, stage: Scene) -> None:
    """Opened is only what was sealed, where a tag vouches for it; a failure leaves nothing behind."""
    spool = MemorySpool()
    enveloped = Enveloped(lambda: [octets])
    opened = told(lambda: scene.now(enveloped.open(stage.keys, spool)), SmimeError)
    if opened.refused:
        same(bytes(spool.octets()), b"", "what a failure leaves")
    elif enveloped.envelope.authenticated:
        same(bytes(spool.octets()), ENTITY, "what was opened and what was sealed")


def seeds(stage: Scene) -> list[bytes]:
    """Where it starts."""
    return scene.objects(stage)
