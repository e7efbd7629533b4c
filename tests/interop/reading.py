"""What we find in a peer's message; and the mail around what a peer reads or writes that knows no mail.

Guarantees
    A peer's message goes through ``peel``, as incoming mail does, with the key of one recipient at a time.
"""

from __future__ import annotations

import asyncio
import base64
from typing import NamedTuple

from letterlock.mail.message import Message
from letterlock.mail.parse import parse
from letterlock.smime.decrypt import Enveloped
from letterlock.smime.describe import describe
from letterlock.smime.peel import Peeled, peel
from letterlock.smime.spool import MemorySpool
from tests.fakes.own_keys import Keys
from tests.interop.forms import ENTITY, PASSWORD, Form, Kind

_OUTER = b"From: alice@example.org\r\n"
_BEFORE = _OUTER + b"MIME-Version: 1.0\r\n"


def cms_of(mail: bytes) -> bytes:
    """The CMS object in a message: for peers that read no mail. Of multipart/signed: the signature."""
    part = parse(mail)
    if part.content_type.value == "multipart/signed":
        _, part = part.children
    return b"".join(bytes(each) for each in part.decoded())


def content_of(mail: bytes) -> bytes:
    """What a detached signature covers: the octets between the delimiters, without the last line end (RFC 1847 2.1)."""
    first, _ = parse(mail).children
    return bytes(first.octets[first.start : first.end])


def in_mail(cms: bytes, form: Form, kind: Kind | None = None) -> bytes:
    """A message around what a peer made that writes no mail itself. ``kind``: when it is not that of the form."""
    kind = kind or form.kind
    lines = base64.encodebytes(cms).replace(b"\n", b"\r\n")
    if kind == "detached":
        head = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=unknown; boundary=limit\r\n'
        last = b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        return b"%b\r\n--limit\r\n%b\r\n--limit\r\n%b%b\r\n--limit--\r\n" % (head, ENTITY, last, lines)
    names = {"opaque": "signed-data", "compressed": "compressed-data", "certificates": "certs-only"}
    smime_type = names.get(kind, "authEnveloped-data" if form.cipher.endswith("gcm") else "enveloped-data")
    head = f"Content-Type: application/pkcs7-mime; smime-type={smime_type}; name=smime.p7m\r\n".encode()
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + lines


class NotRead(Exception):
    """We refuse what a peer wrote: our verdict."""


class Found(NamedTuple):
    """What we found in a peer's message. ``layers``: outermost first; ``algorithm``: of the signer; ``transports``: how
    the content key comes to each recipient, without the details."""

    content: bytes
    layers: tuple[str, ...] = ()
    algorithm: str = ""
    cipher: str = ""
    transports: tuple[str, ...] = ()


def wanted(form: Form) -> Found:
    """What has to be found. Only forms whose names begin with a cipher are particular about it."""
    kinds: dict[Kind, tuple[str, ...]] = {
        "detached": ("signed",), "opaque": ("signed",), "encrypted": ("encrypted",), "nested": ("encrypted", "signed"),
        "password": (), "compressed": ("compressed",),
    }  # fmt: skip
    cipher = form.cipher if form.name.startswith(("AES", "3DES", "password")) else ""
    return Found(ENTITY, kinds[form.kind], form.algorithm, cipher, form.transports)


def found(form: Form, mail: bytes, demanded: Found) -> list[Found]:
    """What we find in a peer's message: once for each recipient it has. What ``demanded`` leaves open is left out.

    Raises NotRead when we refuse it."""
    if form.kind == "password":
        cms, spool = cms_of(mail), MemorySpool()
        enveloped = Enveloped(lambda: (cms,))
        asyncio.run(enveloped.open_with_password(PASSWORD, spool))
        return [Found(bytes(spool.octets()), cipher=enveloped.envelope.cipher.name)]
    readers = form.people if form.kind in ("encrypted", "nested") else (None,)
    message = Message(_OUTER + mail)
    peeled = [asyncio.run(peel(message, Keys(*(() if who is None else (who,))))) for who in readers]
    return [_found(demanded, each, mail) for each in peeled]


def _found(demanded: Found, peeled: Peeled, mail: bytes) -> Found:
    outcomes = [each for layer in peeled.layers for each in layer.outcomes]
    faults = [f"{each.kind}: {each.verdict} ({each.detail})" for each in peeled.layers if each.verdict != "ok"]
    faults += [f"signer: {each.verdict} ({each.fault.detail})" for each in outcomes if each.fault]
    if faults:
        raise NotRead(f"we: {', '.join(faults)}")
    transports: tuple[str, ...] = ()
    if demanded.transports:
        cms = cms_of(mail)
        names = [each.algorithm.removeprefix("rsa-") for each in describe(lambda: (cms,)).recipients]
        transports = tuple(sorted(each.partition("-")[0] for each in names))
    return Found(
        bytes(peeled.payload.octets[peeled.payload.start : peeled.payload.end]).removeprefix(_BEFORE),
        tuple(layer.kind for layer in peeled.layers),
        next((each.signer.algorithm for each in outcomes if each.signer), "") if demanded.algorithm else "",
        peeled.layers[0].cipher if demanded.cipher else "",
        transports,
    )


def certificates_in(mail: bytes) -> list[bytes]:
    """The certificates in a message that has nothing else, in order."""
    (layer,) = asyncio.run(peel(Message(mail), Keys())).layers
    assert (layer.verdict, layer.outcomes) == ("ok", ())
    return sorted(layer.certificates)
