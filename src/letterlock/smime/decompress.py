"""CompressedData, read only: nobody needs us to write it, but what comes must not hide anything.

Guarantees
    Nothing is inflated beyond what the sink takes; pieces are small, so a bomb is stopped by the sink at once.

Standards
    RFC 3274 1.1 and 2 (zlib only), RFC 1950.

Raises
    Malformed, Unsupported, and what the sink raises.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

from letterlock.asn1 import der, oid
from letterlock.asn1.ber import BerError, Reader
from letterlock.mail.message import Buffer
from letterlock.smime.algorithms import Algorithm
from letterlock.smime.cms_read import open_cms
from letterlock.smime.errors import Malformed, Unsupported
from letterlock.smime.spool import PIECE_OCTETS, Sink

_ZLIB: Final = oid.encode("1.2.840.113549.1.9.16.3.8")


def decompress(source: Iterable[Buffer], sink: Sink) -> None:
    """Inflates the content to ``sink``, which counts only when this returns."""
    try:
        reader = Reader(source)
        if open_cms(reader) != oid.COMPRESSED_DATA:
            raise Unsupported(detail="not compressed data")
        data = reader.enter(der.SEQUENCE)
        reader.element(der.INTEGER)
        if Algorithm.read(reader.element(der.SEQUENCE)).oid != _ZLIB:
            raise Unsupported(detail="compression")
        info = reader.enter(der.SEQUENCE)
        reader.element(der.OID)
        explicit = reader.enter(0xA0)
        inflating = zlib.decompressobj()
        for piece in reader.octets(der.OCTET_STRING):
            _inflate(inflating, piece, sink)
        if not inflating.eof:
            raise Malformed(detail="compressed content cut short")
        for end in (explicit, info, data):
            reader.leave(end)
    except (BerError, zlib.error) as error:
        raise Malformed(detail="compressed data") from error


def _inflate(inflating: zlib._Decompress, piece: Buffer, sink: Sink) -> None:
    waiting: Buffer = piece
    while len(waiting) and not inflating.eof:
        sink.write(inflating.decompress(waiting, PIECE_OCTETS))
        waiting = inflating.unconsumed_tail
