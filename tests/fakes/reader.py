"""What somebody inside sees of a message that came in: tags, verdicts and octets, by the product's own parts in their order.

Order
    As ``flow/decrypt.py`` does it, without a database: peel, protected fields, a path and a verdict for each signer, tags.

See also
    ``people.py`` for keys and messages; the attacks that ask ``read``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from letterlock.decision import marking
from letterlock.decision.known import Layer, Opened, Signer
from letterlock.mail.message import Message
from letterlock.pki.certificate import parse
from letterlock.pki.trust import Trust
from letterlock.policy.settings import tagging
from letterlock.smime.header_protection import protected
from letterlock.smime.judge import asks_path, brought, judge
from letterlock.smime.peel import Peeled, peel
from tests.fakes.authority import Authority, Identity
from tests.fakes.facts import settings
from tests.fakes.own_keys import Keys
from tests.fakes.people import authority

SIGNED = str(tagging.TAG_SIGNED_VALID.default)
DECRYPTED = str(tagging.TAG_DECRYPTED.default)


class Seen(NamedTuple):
    """``tags``: in the subject; ``fields``: the information fields; ``verdicts``: of all signers, outermost first;
    ``opened``: the octets that are handed on; ``asked``: how often a private key was used; ``subject``: protected."""

    tags: tuple[str, ...]
    fields: dict[str, str]
    verdicts: tuple[str, ...]
    opened: bytes
    peeled: Peeled
    asked: int
    subject: str | None

    @property
    def is_signed(self) -> bool:
        """It is shown as signed by its author."""
        return SIGNED in self.tags


def read(octets: bytes, *readers: Identity, anchors: Sequence[Authority] = ()) -> Seen:
    """What is seen, with the keys of ``readers``. ``anchors``: who is trusted; the authority of all people otherwise."""
    message, keys = Message(octets), Keys(*readers)
    peeled = asyncio.run(peel(message, keys))
    trust = Trust([parse(each.der) for each in anchors or (authority(),)])
    inner = protected(message, peeled.layers, peeled.payload)
    layers = []
    for layer in peeled.layers:
        signers = []
        for outcome in layer.outcomes:
            path = None
            if outcome.signer is not None and asks_path(outcome):
                path = trust.verdict(outcome.signer.certificate, datetime.now(UTC), "sign", brought(layer))
            signers.append(Signer(*judge(outcome, message, path, inner)))
        reason = "" if layer.opened else layer.verdict
        made = Layer(layer.kind, layer.opened, reason, layer.cipher, signers=tuple(signers), weak=layer.weak)
        layers.append(made)
    layers += [Layer(kind, opened=False, reason="not-covered", whole=False) for kind in peeled.partial]
    marks = marking.marks(Opened(tuple(layers)), settings("bob@example.net"), entitled=True)
    return Seen(
        marks.tags,
        dict(marks.fields),
        tuple(signer.verdict for layer in layers for signer in layer.signers),
        bytes(peeled.opened.octets),
        peeled,
        sum(len(key.asked) for key in keys.held),
        inner.subject if inner is not None else None,
    )
