"""CompressedData read: what comes compressed must not hide anything.

Guarantees
    Nothing is inflated beyond what the sink takes; pieces are small, so a bomb is stopped by the sink at once.
    Octets after the end of the compressed stream are refused: readers could disagree about them.

Standards
    RFC 3274 1.1 and 2 (zlib only), RFC 1950.

Raises
    Malformed, Unsupported, and what the sink raises.

See also
    ``compress.py`` writes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import BerError, Reader
from letterlock.mail.message import Buffer
from letterlock.smime.algorithms import Algorithm
from letterlock.smime.cms_read import open_cms
from letterlock.smime.errors import Malformed, Unsupported
from letterlock.smime.spool import PIECE_OCTETS, Sink


def decompress(source: Iterable[Buffer], sink: Sink) -> None:
    """Inflates the content to ``sink``, which counts only when this returns."""
    try:
        reader = Reader(source)
        if open_cms(reader) != oid.COMPRESSED_DATA:
            raise Unsupported(detail="not compressed data")
        data = reader.enter(der.SEQUENCE)
        reader.element(der.INTEGER)
        if Algorithm.read(reader.element(der.SEQUENCE)).oid != oid.ZLIB:
            raise Unsupported(detail="compression")
        info = reader.enter(der.SEQUENCE)
        reader.element(der.OID)
        explicit = reader.enter(0xA0)
        inflating = zlib.decompressobj()
        for piece in reader.octets(der.OCTET_STRING):
            _inflate(inflating, piece, sink)
        if not inflating.eof or inflating.unused_data:
            raise Malformed(detail="compressed content cut short, or something after it")
        for end in (explicit, info, data):
            reader.leave(end)
    except (BerError, zlib.error) as error:
        raise Malformed(detail="compressed data") from error


def _inflate(inflating: zlib._Decompress, piece: Buffer, sink: Sink) -> None:
    waiting: Buffer = piece
    if inflating.eof and len(waiting):
        raise Malformed(detail="octets after the compressed content")
    while len(waiting) and not inflating.eof:
        sink.write(inflating.decompress(waiting, PIECE_OCTETS))
        waiting = inflating.unconsumed_tail
