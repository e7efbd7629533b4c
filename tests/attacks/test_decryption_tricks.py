"""What attackers do with ciphertext that they have and cannot read: no plaintext comes out in a form they made.

See also
    Poddebniak and others, "Efail" (USENIX Security 2018); Müller and others, "Re: What's up Johnny? Covert content attacks
    on email end-to-end encryption" (ACNS 2019) and "Mailto: me your secrets" (IEEE CNS 2020); Schwenk and others,
    "Mitigation of attacks on email end-to-end encryption" (CCS 2020); Strenzke and Roth, "Legacy encryption downgrade
    attacks against LibrePGP and CMS" (2024), RFC 9709 1; docs/attacks.md. Further cases: ``test_efail.py``,
    ``test_partly_signed.py``.
"""

from __future__ import annotations

from functools import cache

import pytest

from letterlock.asn1 import ber, der, oid
from letterlock.mail.parse import Part
from letterlock.smime.algorithms import CIPHERS
from letterlock.smime.mime import to_mime
from tests.fakes.authority import Identity
from tests.fakes.people import encrypted, encrypted_entity, person, signed_and_encrypted, signed_entity
from tests.fakes.reader import read

BOB = person("bob")
SECRET = b"the launch code is 0000, the second is 1111, the third is 2222"
LETTER = (
    b"From: carol@example.net\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>" + SECRET + b"</p>\r\n"
)
ENTITY = LETTER.partition(b"MIME-Version: 1.0\r\n")[2]
EVIL = b"From: evil@example.net\r\nTo: bob@example.net\r\nMIME-Version: 1.0\r\n"


@cache
def prey(cipher: str = "aes256-cbc", who: Identity = BOB) -> bytes:
    """An encrypted entity, as it was caught."""
    return encrypted_entity([ENTITY], who, cipher=cipher).removeprefix(b"MIME-Version: 1.0\r\n")


def cms(cipher: str) -> bytes:
    """The same as CMS object."""
    return b"".join(Part(encrypted(LETTER, BOB, cipher=cipher)).decoded())


def message(octets: bytes, kind: str = "enveloped-data") -> bytes:
    """A message of a CMS object, by the attacker."""
    return EVIL + b"".join(to_mime([octets], kind)).removeprefix(b"MIME-Version: 1.0\r\n")  # type: ignore[arg-type]


def rebuilt(octets: bytes, kind: bytes, cipher: bytes, content: bytes, *after: bytes) -> bytes:
    """The recipient infos of an encrypted object with another content type, algorithm and content."""
    fields = ber.single(octets).children()[1].children()[0].children()
    info = der.sequence(oid.DATA, cipher, der.implicit(0, content))
    return der.sequence(kind, der.explicit(0, der.sequence(fields[0].raw, fields[1].raw, info, *after)))


def content_of(octets: bytes) -> tuple[bytes, bytes, list[bytes]]:
    """AlgorithmIdentifier, ciphertext, and what follows (attributes, tag)."""
    fields = ber.single(octets).children()[1].children()[0].children()
    at = next(at for at, each in enumerate(fields) if each.tag == der.SEQUENCE)
    info = fields[at].children()
    return info[1].raw, info[2].content, [each.raw for each in fields[at + 1 :]]


def test_the_plain_case() -> None:
    for cipher in ("aes256-cbc", "aes256-gcm"):
        assert SECRET in read(encrypted(LETTER, BOB, cipher=cipher), BOB).opened


# ---- EFAIL: malleability gadgets, and what may be known of a message that was changed


@pytest.mark.req("B1")
def test_cbc_gadgets_are_never_taken_for_anything_signed_and_are_told() -> None:
    """EFAIL, malleability gadgets: known plaintext lets the attacker write blocks of his own into CBC. It opens, as it
    must, for the form has no integrity; it is marked as such for the reader's program, and never as signed."""
    known, injected = ENTITY[:16], b'<img src="//x/x"'
    octets = cms("aes256-cbc")
    algorithm, ciphertext, _ = content_of(octets)
    vector = ber.single(algorithm).children()[1].content
    pair = bytes(a ^ b ^ c for a, b, c in zip(vector, known, injected, strict=True)) + ciphertext[:16]
    gadget = rebuilt(octets, oid.ENVELOPED_DATA, algorithm, ciphertext[:-16] + pair + ciphertext[-32:])
    seen = read(message(gadget), BOB)
    assert seen.peeled.layers[0].opened
    assert injected in seen.opened
    assert not seen.is_signed
    assert seen.fields["X-Letterlock-Info-Encryption-Unauthenticated-0"] == "True"


@pytest.mark.req("B1")
def test_a_signature_inside_shows_the_gadget() -> None:
    """EFAIL, mitigations: what was signed before it was encrypted does not survive a gadget as signed."""
    octets = b"".join(Part(signed_and_encrypted(LETTER, person("alice"), BOB, cipher="aes256-cbc")).decoded())
    assert read(message(octets), BOB).verdicts == ("address-mismatch",)  # honest, but From is the attacker's
    algorithm, ciphertext, _ = content_of(octets)
    at = ciphertext[: len(ciphertext) // 2 // 16 * 16]
    changed = at[:-16] + bytes(each ^ 1 for each in at[-16:]) + ciphertext[len(at) :]
    seen = read(message(rebuilt(octets, oid.ENVELOPED_DATA, algorithm, changed)), BOB)
    assert not seen.is_signed
    assert not {"ok", "address-mismatch"} & set(seen.verdicts)


@pytest.mark.req("B1")
@pytest.mark.parametrize("what", ["tag cut", "tag gone", "attributes added", "nonce", "content cut"])
def test_what_a_tag_protects(what: str) -> None:
    """EFAIL, mitigations (authenticated encryption), as RFC 5083 and 5084 have it: every field around the content counts."""
    octets = cms("aes256-gcm")
    algorithm, ciphertext, after = content_of(octets)
    tag = after[-1]
    if what == "tag cut":
        after = [der.octet_string(ber.single(tag).content[:4])]
    elif what == "tag gone":
        after = []
    elif what == "attributes added":
        after = [der.explicit(1, der.sequence(oid.CONTENT_TYPE, der.tlv(der.SET, oid.DATA))), tag]
    elif what == "nonce":
        parameters = der.sequence(der.octet_string(bytes(12)), der.integer(16))
        algorithm = der.sequence(CIPHERS["aes256-gcm"].oid, parameters)
    else:
        ciphertext = ciphertext[:-1]
    seen = read(
        message(rebuilt(octets, oid.AUTH_ENVELOPED_DATA, algorithm, ciphertext, *after), "authEnveloped-data"), BOB
    )
    assert not seen.peeled.layers[0].opened
    assert b"launch" not in seen.opened


# ---- downgrade: AuthEnvelopedData as EnvelopedData


@pytest.mark.req("B1")
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm", "aes128-cbc", "3des-cbc"])
def test_authenticated_content_as_another_form(cipher: str) -> None:
    """Strenzke and Roth: the ciphertext of GCM comes as EnvelopedData under the same content key. GCM in the wrong type is
    refused; as CBC it is noise at most: no octet of the plaintext, never signed, and told as unauthenticated."""
    octets = cms("aes256-gcm")
    _, ciphertext, _ = content_of(octets)
    block = 8 if cipher == "3des-cbc" else 16
    vector = der.octet_string(bytes(block))
    algorithm = der.sequence(
        CIPHERS[cipher].oid, der.sequence(der.octet_string(bytes(12)), der.integer(16)) if "gcm" in cipher else vector
    )
    for start in range(0, len(ciphertext) - 2 * block, block):
        piece = ciphertext[start : start + 2 * block]
        seen = read(message(rebuilt(octets, oid.ENVELOPED_DATA, algorithm, piece)), BOB)
        (layer,) = seen.peeled.layers
        assert not seen.is_signed
        assert not any(SECRET[at : at + 8] in seen.opened for at in range(len(SECRET) - 8))
        if layer.opened:
            assert seen.fields["X-Letterlock-Info-Encryption-Unauthenticated-0"] == "True"
        else:
            assert layer.verdict in ("decryption-failed", "unsupported")


@pytest.mark.req("B1")
def test_the_downgrade_tells_the_sender_nothing() -> None:
    """The same: a guess at a block of plaintext is tried by CBC. Right or wrong, what is told of a failure is the same."""
    octets = cms("aes256-gcm")
    _, ciphertext, _ = content_of(octets)
    told = set()
    for guess in (ENTITY[:16], bytes(16), b"x" * 16):
        keystream = bytes(a ^ b for a, b in zip(ciphertext[:16], guess, strict=True))
        algorithm = der.sequence(CIPHERS["aes256-cbc"].oid, der.octet_string(bytes(16)))
        seen = read(message(rebuilt(octets, oid.ENVELOPED_DATA, algorithm, bytes(16) + keystream)), BOB)
        layer = seen.peeled.layers[0]
        if not layer.opened:
            told.add((layer.verdict, layer.detail))
    assert told == {("decryption-failed", "")}


# ---- "Re: What's up Johnny?": covert content, so that a reply quotes plaintext

BENIGN = b"Content-Type: text/plain\r\n\r\nWhat's up?\r\n"
HIDING = b"Content-Type: text/html\r\n\r\n<p>What's up?</p><style>#x{display:none}</style><div id=x>\r\n"


def mixed(kind: bytes, *parts: bytes) -> bytes:
    """A multipart of these."""
    inner = b"".join(b"--%b\r\n%b\r\n" % (kind, each) for each in parts)
    return b'Content-Type: multipart/%b; boundary="%b"\r\n\r\n%b--%b--\r\n' % (kind, kind, inner, kind)


@pytest.mark.req("B1")
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
@pytest.mark.parametrize(
    "frame",
    [
        lambda it: mixed(b"mixed", BENIGN, it),
        lambda it: mixed(b"mixed", it, BENIGN),
        lambda it: mixed(b"mixed", HIDING, it),
        lambda it: mixed(b"alternative", BENIGN, it),
        lambda it: mixed(b"related", HIDING, b"Content-ID: <x>\r\n" + it),
        lambda it: mixed(b"mixed", mixed(b"alternative", BENIGN, mixed(b"related", HIDING, it))),
        lambda it: mixed(b"mixed", BENIGN, b"Content-Type: message/rfc822\r\n\r\n" + EVIL + it),
        lambda it: mixed(b"digest", b"\r\n" + EVIL + it),
        lambda it: mixed(b"mixed", BENIGN, b"Content-Disposition: inline; filename=x.p7m\r\n" + it),
        lambda it: mixed(b"encrypted", BENIGN, it),
        lambda it: b'Content-Type: message/partial; id="x"; number=1; total=1\r\n\r\n' + EVIL + it,
        lambda it: b'Content-Type: message/external-body; access-type=URL; URL="http://e.example/"\r\n\r\n' + it,
        lambda it: b'Content-Type: message/external-body; access-type=local-file; name="/etc/x"\r\n\r\n' + it,
        lambda it: b"Content-Type: text/html\r\n\r\n" + it,
        lambda it: b"Content-Type: text/plain\r\n" + it,
    ],
    ids=[
        *("beside a question", "before a question", "hidden by a style", "as an alternative", "as an image", "three deep"),
        *("in an attached message", "in a digest", "as a file", "as OpenPGP", "as a fragment", "with a URL"),
        *("with a local file", "as text", "a second content type"),
    ],
)  # fmt: skip
def test_covert_content_is_left_as_it_is(frame: object, cipher: str) -> None:
    """ "Re: What's up Johnny?", decryption oracles; CCS 2020, REPLY attacks: the victim would quote nothing of the prey."""
    seen = read(EVIL + frame(prey(cipher)), BOB)  # type: ignore[operator]
    assert SECRET not in seen.opened
    assert SECRET not in bytes(seen.peeled.bare().octets)
    assert seen.asked == 0
    assert "[decrypted]" not in seen.tags


@pytest.mark.req("B1")
def test_prey_inside_an_encrypted_letter_of_the_attacker() -> None:
    """CCS 2020, REPLY attacks: the attacker encrypts a frame of his own around the prey. The frame opens, for it is a
    whole message; the prey inside, beside a question, does not."""
    for frame in (mixed(b"mixed", BENIGN, prey()), mixed(b"related", HIDING, prey())):
        seen = read(EVIL + encrypted_entity([frame], BOB), BOB)
        assert [each.kind for each in seen.peeled.layers] == ["encrypted"]
        assert SECRET not in seen.opened
        assert "[mixed content]" in seen.tags


@pytest.mark.req("B1", "B15")
def test_prey_alone_inside_layers_of_the_attacker() -> None:
    """The same without a frame: it opens under the attacker's From, alone, and nobody is shown as its signer. Who answers
    it answers the attacker: a gateway cannot know (docs/attacks.md)."""
    mallory = person("mallory")
    for octets in (
        EVIL + prey(),
        EVIL + encrypted_entity([prey()], BOB),
        EVIL + b"".join(signed_entity([prey()], mallory)),
    ):
        seen = read(octets, BOB)
        assert not seen.is_signed
        assert b"What's up?" not in seen.opened


# ---- "Mailto: me your secrets", and other ways in by the header


@pytest.mark.req("B1")
@pytest.mark.parametrize(
    "field",
    [
        b"Content-Location: http://evil.example/\r\n",
        b"Content-Base: http://evil.example/\r\n",
        b"Content-Disposition: attachment; filename=x.html\r\n",
        b"Content-Type: text/x-evil\r\n",
        b"Content-Description: <img src=//evil.example>\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
    ],
)
def test_fields_of_the_frame_do_not_reach_the_inside(field: bytes) -> None:
    """EFAIL, direct exfiltration, by fields: what the frame says of its content ends with the layer."""
    for octets in (EVIL + field + prey(), EVIL + prey().replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n", 1)):
        seen = read(octets, BOB)
        value = field.partition(b": ")[2].strip()
        assert value not in seen.opened or seen.opened == octets
        if seen.peeled.changed:
            assert seen.opened.endswith(ENTITY.partition(b"\r\n\r\n")[2])


@pytest.mark.req("B1")
def test_fields_inside_do_not_reach_the_frame() -> None:
    """ "Mailto: me your secrets" and EFAIL: what stands inside cannot name where answers and receipts go."""
    asks = b"".join(
        b"%b: evil@example.net\r\n" % name
        for name in (b"Reply-To", b"Disposition-Notification-To", b"Return-Receipt-To", b"Bcc", b"List-Unsubscribe")
    )
    seen = read(EVIL + encrypted_entity([asks + ENTITY], BOB), BOB)
    assert SECRET in seen.opened
    assert seen.opened.count(b"evil@example.net") == 1
