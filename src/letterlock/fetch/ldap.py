"""LDAP: bind and search, nothing else, inside limits of size, time and place; referrals are never followed.

Guarantees
    At most ``most`` octets of answers are read, in MAX_MESSAGES messages, within TOTAL_FOR; nothing that comes makes us
    connect anywhere else. A password goes over TLS only, or to an address that an administrator listed as our own.
    Values of a filter are octets of their own in the request: there is no text into which one could break.

Standards
    RFC 4511 (protocol: 4.2 bind, 4.5 search), RFC 4513 5.1 (simple bind), RFC 4516 2 (URLs), RFC 4515 3 (filters: only
    presence and equality in URLs), RFC 4523 2 (userCertificate, cACertificate, certificateRevocationList), RFC 2798 2.8
    (userSMIMECertificate).

Raises
    FetchRefused, FetchFailed, FetchAbsent, HostUnreachable.

See also
    ``reach.py`` (addresses), docs/decisions/0014-fetching.md (why no library).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple
from urllib.parse import unquote

from letterlock.asn1 import ber, der
from letterlock.fetch.errors import FetchAbsent, FetchFailed, FetchRefused, HostUnreachable
from letterlock.fetch.reach import Reach, limited
from letterlock.pki.url import Url

MAX_MESSAGES: Final = 200
MAX_ENTRIES: Final = 20
SEARCH_SECONDS: Final = 10

ADDRESS_ATTRIBUTES: Final = (("mail", ""), ("proxyAddresses", "smtp:"))
"""Where directories keep addresses, and what stands before them there."""
CERTIFICATES: Final = ("userCertificate;binary", "userCertificate", "userSMIMECertificate")

_SCOPES: Final = {"": 0, "base": 0, "one": 1, "sub": 2}
_NAMES: Final = {
    "crl": ("certificaterevocationlist", "authorityrevocationlist", "deltarevocationlist"),
    "issuer": ("cacertificate", "crosscertificatepair"),
}
_FILTER = re.compile(r"\(([A-Za-z][A-Za-z0-9.;-]{0,99})=([^()*\\]{1,200}|\*)\)\Z")

_BIND_RESPONSE, _ENTRY, _DONE, _REFERENCE, _EXTENDED = 0x61, 0x64, 0x65, 0x73, 0x78  # RFC 4511 4.2.2, 4.5.2, 4.4.1
_ENUMERATED = 0x0A


class Secret(NamedTuple):
    """Who we are to a directory."""

    dn: str
    password: str

    def __repr__(self) -> str:
        return f"Secret({self.dn!r})"


class Search(NamedTuple):
    """One search request (RFC 4511 4.5.1). ``filter``: encoded."""

    where: str
    scope: int
    filter: bytes
    attributes: tuple[str, ...]


def of_url(where: Url, kind: str) -> Search:
    """What an LDAP URL in a certificate asks for. ``kind``: crl or issuer. Raises FetchRefused."""
    base, attributes, scope, filter_text, *more = [*map(unquote, where.rest[1:].split("?")), "", "", ""]
    asked = tuple(each for each in attributes.split(",") if each)
    wanted = _NAMES[kind]
    if any(each.partition(";")[0].lower() not in wanted for each in asked) or scope not in _SCOPES or any(more):
        raise FetchRefused(detail=f"an LDAP URL that asks for something else: {str(where)[:200]}")
    default = "certificateRevocationList;binary" if kind == "crl" else "cACertificate;binary"
    return Search(base, _SCOPES[scope], _filter(filter_text), asked or (default,))


def base_of(where: Url) -> str:
    """The base of one of our directories: the path of its URL."""
    return unquote(where.rest[1:].partition("?")[0])


def of_address(base: str, address: str) -> Search:
    """Certificates of a mail address below ``base``."""
    tests = [_equal(name, before + address) for name, before in ADDRESS_ATTRIBUTES]
    return Search(base, 2, der.tlv(0xA1, *tests), CERTIFICATES)


def _filter(text: str) -> bytes:
    """(a=b) or (a=*); empty: everything. Raises FetchRefused for other filters."""
    match = _FILTER.fullmatch(text or "(objectClass=*)")
    if match is None:
        raise FetchRefused(detail=f"an LDAP filter that is not used: {text[:100]!r}")
    return der.tlv(0x87, match[1].encode()) if match[2] == "*" else _equal(match[1], match[2])


def _equal(name: str, value: str) -> bytes:
    """equalityMatch [3] (RFC 4511 4.5.1.7.1)."""
    return der.tlv(0xA3, der.octet_string(name.encode()), der.octet_string(value.encode()))


async def search(reach: Reach, where: Url, what: Search, *, most: int, secret: Secret | None = None) -> list[bytes]:
    """The values of the asked attributes, of all entries found. Raises FetchAbsent when there are none."""
    tls = where.scheme == "ldaps"
    async with limited(where.host), reach.connection(where.host, where.port, tls=tls) as (reader, writer, address):
        if secret is not None and not tls and not reach.listed(address):
            raise FetchRefused(detail=f"no password to {where.host} without TLS")
        try:
            async with aclosing(_messages(reader, where.host, most)) as answers:
                if secret is not None:
                    writer.write(_message(1, _bind(secret)))
                    await _wait_done(answers, where.host, _BIND_RESPONSE)
                writer.write(_message(2, _search(what)))
                values = await _entries(answers, where.host, what)
        except ber.BerError as error:
            raise FetchFailed(detail=f"{where.host} does not speak LDAP: {error.detail}") from error
        writer.write(_message(3, b"\x42\x00"))  # unbind, RFC 4511 4.3
    if not values:
        raise FetchAbsent(detail=f"{where.host} has none")
    return values


def _message(number: int, operation: bytes) -> bytes:
    return der.sequence(der.integer(number), operation)  # RFC 4511 4.1.1


def _bind(secret: Secret) -> bytes:
    password = der.implicit(0, secret.password.encode())
    return der.tlv(0x60, der.integer(3), der.octet_string(secret.dn.encode()), password)


def _search(what: Search) -> bytes:
    return der.tlv(
        0x63,
        der.octet_string(what.where.encode()),
        der.tlv(_ENUMERATED, bytes([what.scope])),
        der.tlv(_ENUMERATED, b"\x00"),  # neverDerefAliases
        der.integer(MAX_ENTRIES),
        der.integer(SEARCH_SECONDS),
        der.boolean(False),
        what.filter,
        der.sequence(*(der.octet_string(each.encode()) for each in what.attributes)),
    )


async def _messages(reader: asyncio.StreamReader, host: str, most: int) -> AsyncGenerator[ber.Element, None]:
    """The operations of the server's messages, as they come."""
    left = most
    for _ in range(MAX_MESSAGES):
        head = await reader.readexactly(2)
        length = head[1]
        if head[0] != der.SEQUENCE or length == 0x80 or length > 0x84:  # RFC 4511 5.1: definite lengths
            raise FetchFailed(detail=f"{host} does not speak LDAP")
        if length > 0x80:
            length = int.from_bytes(await reader.readexactly(length - 0x80), "big")
        left -= length
        if left < 0:
            raise FetchFailed(detail=f"{host} sends more than {most} octets")
        parts = ber.elements(await _octets(reader, length))
        if len(parts) < 2:
            raise FetchFailed(detail=f"{host} does not speak LDAP")
        if parts[1].tag == _EXTENDED:  # notice of disconnection, RFC 4511 4.4.1
            raise HostUnreachable(detail=f"{host} hung up")
        yield parts[1]
    raise FetchFailed(detail=f"{host} answers without end")


async def _octets(reader: asyncio.StreamReader, length: int) -> bytes:
    """``length`` octets; memory grows with what has come, not with what was announced."""
    pieces = []
    while length:
        piece = await reader.read(min(length, 64 << 10))
        if not piece:
            raise EOFError
        length -= len(piece)
        pieces.append(piece)
    return b"".join(pieces)


async def _wait_done(answers: AsyncIterator[ber.Element], host: str, tag: int) -> None:
    answer = (await anext(answers)).expect(tag)
    code = _result(answer)
    if code:
        raise FetchFailed(detail=f"{host} refuses our name or password (result {code})")


def _result(answer: ber.Element) -> int:
    """resultCode (RFC 4511 4.1.9)."""
    parts = answer.children()
    if not parts:
        raise ber.BerError(detail="no result")
    return int.from_bytes(parts[0].expect(_ENUMERATED).content, "big")


async def _entries(answers: AsyncIterator[ber.Element], host: str, what: Search) -> list[bytes]:
    """Values of the asked attributes until the search is done."""
    wanted = {each.partition(";")[0].lower() for each in what.attributes}
    found: list[bytes] = []
    async for answer in answers:
        if answer.tag == _ENTRY:
            found += _values(answer.children(), wanted)
        elif answer.tag == _DONE:
            code = _result(answer)
            if code == 32 or (code in (10, 11) and not found):  # noSuchObject; referral or limit: nobody else is asked
                raise FetchAbsent(detail=f"{host} has no such entry (result {code})")
            if code not in (0, 3, 4, 10, 11):  # time or size limit: what came is used
                raise FetchFailed(detail=f"{host} refuses the search (result {code})")
            break
        elif answer.tag != _REFERENCE:
            raise FetchFailed(detail=f"{host} does not speak LDAP")
    return found


def _values(entry: Sequence[ber.Element], wanted: Iterable[str]) -> list[bytes]:
    """The values of an entry's wanted attributes, whatever options stand behind their names (RFC 4511 4.5.2)."""
    found = []
    for attribute in entry[1].children() if len(entry) > 1 else ():
        parts = attribute.children()
        if len(parts) < 2:
            raise ber.BerError(detail="an attribute without values")
        name, values = parts[0], parts[1]
        if name.octets().decode("ascii", "replace").partition(";")[0].lower() in wanted:
            found += [each.octets() for each in values.children()]
    return found
