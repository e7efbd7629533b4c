"""The offline check of the audit trail: rows against seals, seals against one another and the signer's key.

Guarantees
    verify() returns what it has proved or raises; there is no answer to forget. It asks no database and no key: the
    caller passes seals, the encoded rows of each, and a function that raises when a signature is not good (so that
    this package needs no cryptography).
    Cutting off the end of database and seals together is seen only against the keyholder's own file: pass it as
    ``kept``.

Raises
    TrailBroken, with the number of the first seal that does not hold.

See also
    ``chain.py``; ``keyholder/seal_audit.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from letterlock.audit.chain import Seal, digest, link
from letterlock.errors import PermanentError

CheckSignature = Callable[[str, bytes, bytes], None]
"""(key id, link, signature): returns when it is good, raises anything when not."""


class TrailBroken(PermanentError):
    """The audit trail does not agree with its seals."""


class Proof(NamedTuple):
    """What holds: how many seals and rows, and up to which transaction (not included)."""

    seals: int
    rows: int
    upto_xid: int
    link: bytes


def verify(
    seals: Iterable[Seal],
    encoded: Callable[[Seal], tuple[Iterable[bytes], int]],
    check_signature: CheckSignature,
    *,
    kept: Iterable[Seal] = (),
) -> Proof:
    """Check every seal in order.

    ``encoded``: for a seal the rows it covers, in their fixed encoding and in pieces, and how many they are.
    ``kept``: the seals as the keyholder's own file has them; each must be in ``seals`` unchanged. Raises TrailBroken.
    """
    number, upto, previous, rows = 0, 0, b"", 0
    wanted = {seal.number: seal for seal in kept}
    for seal in seals:
        if seal.number != number + 1 or seal.from_xid != upto or seal.previous != previous:
            raise TrailBroken(f"Seal {number + 1} of the audit trail is missing or does not follow the one before it.")
        blobs, count = encoded(seal)
        if count != seal.rows or digest(blobs) != seal.digest:
            raise TrailBroken(f"Rows of the audit trail under seal {seal.number} were changed, added or removed.")
        _check_seal(seal, check_signature)
        if wanted.pop(seal.number, seal) != seal:
            raise TrailBroken(f"Seal {seal.number} of the audit trail differs from the keyholder's own record.")
        number, upto, previous, rows = seal.number, seal.upto_xid, seal.link, rows + seal.rows
    if wanted:
        raise TrailBroken(
            f"Seal {min(wanted)} of the audit trail is in the keyholder's own record but not in the database."
        )
    return Proof(number, rows, upto, previous)


def _check_seal(seal: Seal, check_signature: CheckSignature) -> None:
    made = link(
        number=seal.number,
        from_xid=seal.from_xid,
        upto_xid=seal.upto_xid,
        rows=seal.rows,
        digest=seal.digest,
        previous=seal.previous,
        sealed_at=seal.sealed_at,
    )
    if made != seal.link:
        raise TrailBroken(f"The link of seal {seal.number} of the audit trail is not that of its contents.")
    try:
        check_signature(seal.key_id, seal.link, seal.signature)
    except Exception as error:
        raise TrailBroken(
            f"The signature of seal {seal.number} of the audit trail is not good.", detail=repr(error)
        ) from error
