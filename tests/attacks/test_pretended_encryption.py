"""A message that only says it is encrypted does not get past mandatory encryption."""

from __future__ import annotations

import base64

import pytest

from letterlock.decision.decide import decide
from letterlock.decision.known import Findings, Opened
from letterlock.decision.message import is_enveloped, message_facts
from letterlock.mail.message import Message
from tests.fakes import openssl
from tests.fakes.authority import Authority
from tests.fakes.facts import envelope, facts, recipient, sender

BOB = "bob@partner.example"
CANARY = b"the canary sings in clear"
HEAD = b"From: ann@inside.example\r\nTo: bob@partner.example\r\nMIME-Version: 1.0\r\n"
TYPE = b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
BASE64 = HEAD + TYPE + b"Content-Transfer-Encoding: base64\r\n\r\n"
BINARY = HEAD + TYPE + b"Content-Transfer-Encoding: binary\r\n\r\n"


@pytest.fixture(scope="module")
def cms() -> bytes:
    """A real enveloped data, in DER."""
    who = Authority.create().issue(BOB)
    message = openssl.encrypt(b"Content-Type: text/plain\r\n\r\n" + CANARY + b"\r\n", [who])
    return base64.b64decode(message.replace(b"\r\n", b"\n").partition(b"\n\n")[2])


def wrapped(cms: bytes) -> bytes:
    return base64.encodebytes(cms).replace(b"\n", b"\r\n")


def test_real_ones_are_known(cms: bytes) -> None:
    assert is_enveloped(Message(BASE64 + wrapped(cms)))
    assert is_enveloped(Message(BASE64 + wrapped(cms) + b"\r\n \r\n"))
    assert is_enveloped(Message(BINARY + cms))
    assert is_enveloped(Message(BINARY + cms + b"\r\n"))


@pytest.mark.parametrize(
    ("cipher", "options"), [("aes-256-cbc", ("-stream", "-indef")), ("aes-256-gcm", ()), ("des3", ("-keyid",))]
)
def test_whatever_openssl_makes_is_known(cipher: str, options: tuple[str, ...]) -> None:
    who = Authority.create().issue(BOB)
    for size in (1, 100_000):
        made = openssl.encrypt(b"x" * size, [who, who], cipher=cipher, options=options, fields=b"From: a@b.example\r\n")
        assert is_enveloped(Message(made))


@pytest.mark.req("A6", "B1")
def test_pretended_ones_are_not_passed(cms: bytes) -> None:
    half = wrapped(cms)[: len(wrapped(cms)) // 2]
    empty = bytes.fromhex("302106092a864886f70d010703a01430120201003100300b06092a864886f70d010701")
    pretended = {
        "text": BASE64 + CANARY,
        "no body": BASE64,
        "text in binary": BINARY + CANARY,
        "half of one": BASE64 + half,
        "text before": BASE64 + CANARY + b"\r\n" + wrapped(cms),
        "text after": BASE64 + wrapped(cms) + CANARY,
        "text after padding": BASE64 + wrapped(cms + b"\0" * ((2 - len(cms)) % 3)).rstrip() + b"=\r\n" + CANARY,
        "octets after": BINARY + cms + CANARY,
        "octets after in base64": BASE64 + wrapped(cms + CANARY),
        "no recipients": BINARY + empty,
        "signed instead": BINARY
        + cms.replace(bytes.fromhex("2a864886f70d010703"), bytes.fromhex("2a864886f70d010702")),
        "data instead": BINARY + cms.replace(bytes.fromhex("2a864886f70d010703"), bytes.fromhex("2a864886f70d010701")),
        "another encoding": HEAD + TYPE + b"Content-Transfer-Encoding: x-none\r\n\r\n" + cms,
        "another type": HEAD + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + wrapped(cms),
        "within a mixed message": HEAD
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        + TYPE
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + wrapped(cms)
        + b"\r\n--b\r\n\r\n"
        + CANARY
        + b"\r\n--b--\r\n",
    }
    by = sender(encrypt_mode="mandatory")
    given = [recipient(BOB, by)]
    for name, octets in pretended.items():
        about = message_facts(Message(octets), len(octets), protected="encrypted")
        plan = decide(envelope(by, [BOB]), Opened(), Findings(), facts(by, given, about))
        assert plan.deliveries == (), name
        assert plan.holds[0].reason == "no-method", name
