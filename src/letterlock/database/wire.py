"""Values on their way into a database function, in PostgreSQL's binary form, by the type its argument is declared with.

Guarantees
    The type comes from the function's declaration, never from the value: an empty list, a list of small numbers and a
    list of large ones go the same way, so one prepared statement serves all calls.
    A value of the wrong Python type raises TypeError before anything is sent.

Standards
    PostgreSQL 53.7 (message formats), the *_send and *_recv functions of its types; arrays: array_send.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

_DAY_ZERO = date(2000, 1, 1).toordinal()
_TIME_ZERO = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_int2 = struct.Struct("!h").pack
_int4 = struct.Struct("!i").pack
_int8 = struct.Struct("!q").pack
_interval = struct.Struct("!qii").pack
_array = struct.Struct("!iiiii").pack
_EMPTY = struct.Struct("!iii").pack
_NULL = _int4(-1)

Encode = Callable[[Any], bytes]


def _boolean(value: Any) -> bytes:
    return b"\x01" if value else b"\x00"


def _octets(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"octets expected, not {type(value).__name__}")


def _uuid(value: Any) -> bytes:
    octets: bytes = value.int.to_bytes(16, "big")
    return octets


def _date(value: Any) -> bytes:
    return _int4(value.toordinal() - _DAY_ZERO)


def _timestamp(value: Any) -> bytes:
    if value.tzinfo is None:
        raise TypeError("a time without time zone cannot be stored")
    return _int8((value - _TIME_ZERO) // _MICROSECOND)


def _span(value: Any) -> bytes:
    return _interval(value // _MICROSECOND, 0, 0)


def _json(value: Any) -> bytes:
    return b"\x01" + msgspec.json.encode(value)  # jsonb's version octet


def _array_of(element: int, encode: Encode) -> Encode:
    def array(values: Sequence[Any]) -> bytes:
        if not values:
            return _EMPTY(0, 0, element)
        nulls, parts = False, [b""]
        for value in values:
            if value is None:
                nulls = True
                parts.append(_NULL)
            else:
                octets = encode(value)
                parts += (_int4(len(octets)), octets)
        parts[0] = _array(1, nulls, element, len(values), 1)
        return b"".join(parts)

    return array


_SCALARS: dict[int, tuple[int, Encode]] = {  # type OID: (OID of its array type, encoder); pg_type.dat
    16: (1000, _boolean),
    17: (1001, _octets),
    20: (1016, _int8),
    21: (1005, _int2),
    23: (1007, _int4),
    25: (1009, str.encode),
    1082: (1182, _date),
    1184: (1185, _timestamp),
    1186: (1187, _span),
    2950: (2951, _uuid),
    3802: (3807, _json),
}
ENCODERS: dict[int, Encode] = {oid: encode for oid, (_, encode) in _SCALARS.items()} | {
    array: _array_of(oid, encode) for oid, (array, encode) in _SCALARS.items()
}
"""By type OID. A function with an argument of another type cannot be called through the gate."""
