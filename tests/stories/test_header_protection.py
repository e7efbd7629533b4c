"""Protected header fields end to end: hidden on the way out, found again by other programs and by our own other side."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

import pytest

from tests.fakes import openssl
from tests.fakes.authority import Identity
from tests.fakes.next_hop import Arrival
from tests.stories.world import PASSWORD, World, letter

SECRET = "the eagle has landed"


def mail(octets: bytes) -> EmailMessage:
    """As a reader's program parses it."""
    return cast("EmailMessage", message_from_bytes(octets, policy=default))


def opened(world: World, arrival: Arrival, who: Identity) -> EmailMessage:
    """What is inside the encryption and the signature, taken off by openssl."""
    content, _ = openssl.verify(openssl.decrypt(arrival.octets, who), world.authority)
    return mail(openssl.crlf(content))


def text(message: EmailMessage) -> str:
    """What its reader reads."""
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


@pytest.mark.req("B13")
@pytest.mark.peer
@pytest.mark.slow
def test_the_subject_travels_inside(world: World) -> None:
    sender, _ = world.member()
    to, reader = world.stranger()
    blind, blind_reader = world.stranger()
    world.set("smime_header_protection", "hide", "--user", sender)
    octets = letter(sender, to, f"[encrypt] {SECRET} Zürich", Keywords="mill", Bcc=blind)
    world.gateway.submit(sender, [to, blind], octets)
    for address, who in ((to, reader), (blind, blind_reader)):
        arrival = world.arrived(address)
        assert (arrival.subject, arrival.mail["Keywords"]) == ("[...]", None)
        assert SECRET.encode() not in arrival.octets and b"mill" not in arrival.header
        inside = opened(world, arrival, who)
        assert (inside["Subject"], inside["Keywords"], inside["To"]) == (f"{SECRET} Zürich", "mill", to)
        assert inside.get_param("hp") == "cipher" and inside["Bcc"] is None and blind not in inside.as_string()
        assert "Subject: [...]" in [str(value) for value in inside.get_all("HP-Outer", [])]
        assert text(inside).startswith(f"Subject: {SECRET} Zürich\n\nDear reader,")


@pytest.mark.req("B13")
@pytest.mark.slow
def test_inspect_reads_it_back(world: World) -> None:
    sender, _ = world.member()
    to, reader = world.stranger(key="p256")
    world.set("smime_header_protection", "hide", "--user", sender)
    world.gateway.submit(sender, to, letter(sender, to, SECRET))
    files = {"mail.eml": world.arrived(to).octets, "key.p12": reader.p12(PASSWORD), "ca.pem": world.authority.pem}
    for name, content in files.items():
        (world.gateway.folder / name).write_bytes(content)
    mail_file, key, anchor = (str(world.gateway.folder / name) for name in files)
    told = world.gateway.ask("inspect", mail_file, "--key", key, "--password", PASSWORD, "--trust", anchor)
    assert told["verdict"] == "ok", json.dumps(told)
    assert told["protected_header"]["scheme"] == "cipher"
    assert told["protected_header"]["subject"] == SECRET
    assert told["protected_header"]["outer"]["subject"] == "[...]"
    assert told["from_covered"]


@pytest.mark.req("B13", "A13")
@pytest.mark.peer
@pytest.mark.slow
def test_signed_mail_carries_its_header(world: World) -> None:
    sender, _ = world.member()
    to, _ = world.stranger(known=False)
    world.set("smime_header_protection", "hide", "--user", to)
    world.set("smime_sign", "yes", "--user", sender)
    world.gateway.submit(sender, to, letter(sender, to, SECRET))
    arrival = world.arrived(to)
    assert arrival.subject == SECRET  # nothing is hidden where nothing is encrypted
    content, _ = openssl.verify(arrival.octets, world.authority)
    inside = mail(content)
    assert (inside["Subject"], inside["From"], inside.get_param("hp")) == (SECRET, sender, "clear")


@pytest.mark.req("B13")
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_what_comes_in_is_shown_once(world: World, signed: bool) -> None:
    to, reader = world.member()
    sender, signer = world.stranger()
    entity = (
        f'Content-Type: text/plain; charset=utf-8; hp-legacy-display="1"; hp="cipher"\r\nFrom: {sender}\r\n'
        f"To: Our Friend <{to}>\r\nSubject: {SECRET}\r\nKeywords: mill\r\nHP-Outer: From: {sender}\r\n"
        f"HP-Outer: To: {to}\r\nHP-Outer: Subject: [...]\r\n\r\nSubject: {SECRET}\r\n\r\nAll is well.\r\n"
    ).encode()
    fields = f"From: {sender}\r\nTo: {to}\r\nSubject: [...]\r\nMessage-ID: <{to}@out.test>\r\n".encode()
    inside = openssl.sign(entity, signer) if signed else entity
    world.gateway.receive(sender, to, openssl.encrypt(inside, [reader], fields=fields))
    arrival = world.arrived(to)
    assert arrival.subject == ("[decrypted] [signed] " if signed else "[decrypted] ") + SECRET
    assert (arrival.mail["To"], arrival.mail["Keywords"]) == (f"Our Friend <{to}>", "mill")
    if signed:  # the signature is worth more than the line
        content, _ = openssl.verify(arrival.octets, world.authority)
        assert text(mail(content)).startswith("Subject: ")
    else:
        assert text(arrival.mail) == "All is well.\n"
        assert arrival.mail.get_param("hp") is None


@pytest.mark.req("B13")
@pytest.mark.peer
@pytest.mark.slow
def test_a_wrapped_message_is_unwrapped(world: World) -> None:
    to, reader = world.member()
    sender, _ = world.stranger()
    entity = (
        f"Content-Type: message/rfc822; forwarded=no\r\n\r\nFrom: {sender}\r\nTo: {to}\r\nSubject: {SECRET}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nAll is well.\r\n"
    ).encode()
    fields = f"From: {sender}\r\nTo: {to}\r\nSubject: ...\r\nMessage-ID: <w{to}@out.test>\r\n".encode()
    world.gateway.receive(sender, to, openssl.encrypt(entity, [reader], fields=fields))
    arrival = world.arrived(to)
    assert (arrival.subject, arrival.mail.get_content_type()) == (f"[decrypted] {SECRET}", "text/plain")
    assert text(arrival.mail) == "All is well.\n"
