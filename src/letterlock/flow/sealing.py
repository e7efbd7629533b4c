"""Seal what the flow has made, under a session of this process and a new id.

Raises
    SealingUnavailable, StorageUnavailable.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from letterlock.mail.message import Buffer, Entity
from letterlock.vault import content
from letterlock.vault.content import SealedContent
from letterlock.vault.keys import new_id

if TYPE_CHECKING:
    from letterlock.flow.crafts import Crafts

QUOTED = (b"from", b"to", b"date", b"message-id", b"subject")
"""The fields a report may quote outside, as they came from outside (design 5)."""
_QUOTED_OCTETS = 4096


async def seal(crafts: Crafts, envelope: bytes, parts: Iterable[Buffer]) -> SealedContent:
    """The sealed columns of ``parts``, taken one by one; large contents lie on disk when this returns."""
    return await content.seal(crafts.sealer.session(), crafts.store, new_id(), envelope, parts)


def quoted(message: Entity) -> tuple[bytes, ...]:
    """The first of each quoted field, raw, as long as it is not absurd."""
    found: dict[bytes, bytes] = {}
    for each in message.fields:
        if each.name in QUOTED and each.name not in found and each.end - each.start <= _QUOTED_OCTETS:
            found[each.name] = bytes(message.raw(each))
    return tuple(found[name] for name in QUOTED if name in found)
