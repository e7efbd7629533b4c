"""Chains of received certificates are put to OpenSSL in a child: what strangers send is not checked where keys are.

Order
    The parent builds the chains by name (bounded, ``chains.py``) and sends their certificates; the child says what is
    wrong with each chain by itself (``path.shape``); the parent goes on with trust list and revocation.

Guarantees
    When the child is killed or fails no chain holds: the verdict is no, with the reason TOO_COMPLEX.

See also
    ``confine/server.py``; ``trust.py`` (verdict_apart), which remembers the verdicts.

Raises
    NoForkServer, which is temporary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from letterlock.confine.errors import ChildEnded, WorkFailed
from letterlock.confine.server import ForkServer
from letterlock.pki.certificate import parse
from letterlock.pki.chains import Path
from letterlock.pki.path import Rules, Shape, shape
from letterlock.pki.reasons import Purpose, Reason

NAME: Final = "chains"
"""Under which name a ForkServer must have ``judge``."""


class _Job(msgspec.Struct, array_like=True):
    """``paths``: places in ``certificates``."""

    certificates: list[bytes]
    paths: list[list[int]]
    at: datetime
    purpose: Purpose


_DECODE_JOB = msgspec.msgpack.Decoder(_Job)
_DECODE_SHAPES = msgspec.msgpack.Decoder(list[tuple[tuple[Reason, ...], str]])


def judge(job: bytes) -> bytes:
    """The child's work: the shape of each chain of a job."""
    asked = _DECODE_JOB.decode(job)
    certificates = [parse(each) for each in asked.certificates]
    rules = Rules(asked.purpose)
    return msgspec.msgpack.encode(
        [shape(tuple(certificates[place] for place in path), asked.at, rules) for path in asked.paths]
    )


async def shapes(forks: ForkServer, paths: Sequence[Path], at: datetime, purpose: Purpose) -> Mapping[Path, Shape]:
    """The shape of each chain, as a child found it; of none when it did not live to say."""
    if not paths:
        return {}
    places = {each: place for place, each in enumerate(dict.fromkeys(each for path in paths for each in path))}
    job = _Job([each.der for each in places], [[places[each] for each in path] for path in paths], at, purpose)
    try:
        found = _DECODE_SHAPES.decode(await forks.run_async(NAME, msgspec.msgpack.encode(job)))
    except (ChildEnded, WorkFailed, msgspec.MsgspecError):
        return {}
    return dict(zip(paths, found, strict=False))
