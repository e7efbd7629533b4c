"""S/MIME under other names, as mail programs and servers send it: old types, files by their names, Exchange's wrapping."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from letterlock.mail.parse import Part
from tests.fakes import openssl, tnef
from tests.stories.world import World

CONTENT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe results are in: all good.\r\n"


def fields(sender: str, to: str) -> bytes:
    """A header."""
    name = hashlib.sha256(f"{sender}{to}".encode()).hexdigest()[:16]
    return f"From: {sender}\r\nTo: {to}\r\nSubject: results\r\nMessage-ID: <{name}@out.test>\r\n".encode()


def _wrapped(entity: bytes) -> bytes:
    """The entity of a whole message as Exchange wraps it."""
    header, _, _ = entity.partition(b"\r\n\r\n")
    content = b"".join(bytes(each) for each in Part(entity).decoded())
    outer = b"".join(
        line + b"\r\n" for line in header.split(b"\r\n") if line.startswith((b"From", b"To", b"Subject", b"Message"))
    )
    return outer + b"MIME-Version: 1.0\r\n" + tnef.entity(tnef.wrapping(content))


def _as(*changes: tuple[bytes, bytes]) -> Callable[[bytes], bytes]:
    def change(message: bytes) -> bytes:
        for old, new in changes:
            assert old in message, old
            message = message.replace(old, new)
        return message

    return change


ENCRYPTED = {
    "x-pkcs7-mime": _as((b"application/pkcs7-mime", b"application/x-pkcs7-mime")),
    "no smime-type": _as((b"smime-type=enveloped-data; ", b"")),
    "octet-stream": _as((b"application/pkcs7-mime; smime-type=enveloped-data;", b"application/octet-stream;")),
    "upper-case name": _as(
        (b"application/pkcs7-mime; smime-type=enveloped-data; name=", b"application/octet-stream; name="),
        (b"smime.p7m", b"SMIME.P7M"),
    ),
    "name in the disposition only": _as(
        (b'application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"', b"application/octet-stream")
    ),
    "winmail.dat": _wrapped,
}
SIGNED = {
    "x-pkcs7-signature": _as((b"application/pkcs7-signature", b"application/x-pkcs7-signature")),
    "file by its name": _as(
        (b"Content-Type: application/pkcs7-signature;", b"Content-Type: application/octet-stream;")
    ),
}


@pytest.mark.req("B14", "B16")
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("form", ENCRYPTED)
def test_encrypted(world: World, form: str) -> None:
    to, reader = world.member()
    sender, signer = world.stranger()
    message = openssl.encrypt(openssl.sign(CONTENT, signer), [reader], fields=fields(sender, to))
    world.gateway.receive(sender, to, ENCRYPTED[form](message))
    arrival = world.arrived(to)
    assert arrival.subject == "[decrypted] [signed] results"
    content, _ = openssl.verify(arrival.octets, world.authority)
    assert b"The results are in" in content
    assert b"winmail" not in arrival.octets


@pytest.mark.req("B14", "B16")
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("form", SIGNED)
def test_signed(world: World, form: str) -> None:
    to, _ = world.member()
    sender, signer = world.stranger()
    message = SIGNED[form](openssl.sign(CONTENT, signer, fields=fields(sender, to)))
    world.gateway.receive(sender, to, message)
    arrival = world.arrived(to)
    assert arrival.subject == "[signed] results"
    assert arrival.octets.endswith(message.partition(b"\r\n\r\n")[2])


@pytest.mark.req("B14")
@pytest.mark.slow
def test_a_damaged_wrapping_goes_on_as_it_came(world: World) -> None:
    to, _ = world.member()
    sender, _ = world.stranger()
    message = fields(sender, to) + b"MIME-Version: 1.0\r\n" + tnef.entity(tnef.wrapping(b"0 not CMS")[:-7])
    world.gateway.receive(sender, to, message)
    arrival = world.arrived(to)
    assert (arrival.subject, arrival.octets.endswith(message.partition(b"\r\n\r\n")[2])) == ("results", True)
