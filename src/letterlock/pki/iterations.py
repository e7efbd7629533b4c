"""How often a file wants a password hashed, found before anything is computed: it is the file's maker who says so.

Guarantees
    Looks at what stands in clear only: the MAC of a PKCS#12, and the parameters of what is encrypted at the first level.
    What is no BER is left to those who read it.

Standards
    RFC 7292 4 (MacData) and C (PBE), RFC 8018 A.2 (PBKDF2), RFC 7914 7 (scrypt): each a salt, then the count.

Raises
    MalformedBundle.

See also
    ``bundle.py``, which asks.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from letterlock.asn1 import ber, der
from letterlock.asn1.ber import BerError, Element
from letterlock.pki.errors import MalformedBundle

MOST: Final = 10_000_000
"""Iterations; a few seconds. OpenSSL writes 2,048, NSS 600,000."""
_DEEPEST: Final = 20
_MOST_ELEMENTS: Final = 20_000


def check(octets: bytes) -> None:
    """Raises MalformedBundle when a count beyond MOST stands there."""
    try:
        level = [ber.single(octets)]
    except BerError:
        return
    seen = 0
    for _ in range(_DEEPEST):
        inner: list[Element] = []
        for each in level:
            children = _inside(each)
            seen += len(children)
            _check_row(children)
            inner += children
        level = inner
        if not level or seen > _MOST_ELEMENTS:
            return


def _inside(element: Element) -> list[Element]:
    """The elements inside; a string is looked into when it seems to hold a SEQUENCE."""
    try:
        if element.tag & 0x1F == der.OCTET_STRING and element.tag & 0xC0 == 0:
            content = element.octets()
            return ber.elements(content) if content[:1] == b"\x30" else []
        return element.children() if element.tag & 0x20 else []
    except BerError:
        return []


def _check_row(row: list[Element]) -> None:
    for salt, count in pairwise(row):
        if salt.tag & ~0x20 != der.OCTET_STRING or count.tag != der.INTEGER:
            continue
        if len(count.content) > 8 or int.from_bytes(count.content, "big", signed=True) > MOST:
            raise MalformedBundle(
                f"The file wants its password hashed more than {MOST:,} times; make it anew with fewer iterations."
            )
