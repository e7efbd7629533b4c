"""Signing and verifying: who signed exactly what, and nothing that was changed passes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from asn1crypto import cms as oracle

from letterlock.asn1 import ber, der, oid
from letterlock.mail.message import Message
from letterlock.smime.capabilities import ANNOUNCED, read
from letterlock.smime.cms_write import signer_template
from letterlock.smime.errors import (
    AddressMismatch,
    BadSignature,
    Malformed,
    NoCertificate,
    SmimeError,
    Unsupported,
    Weak,
)
from letterlock.smime.party import load_party
from letterlock.smime.sign import is_timely, prepare_signature
from letterlock.smime.signatures import SIGNATURES
from letterlock.smime.verify import author, check_author, examine_detached, verify_detached
from tests.fakes.authority import Identity, KeyKind
from tests.fakes.own_keys import KeyInMemory
from tests.fakes.people import SIGNED_AT, authority, person, sign

CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
KINDS: list[tuple[KeyKind, str]] = [
    ("rsa2048", "rsa-pkcs1-sha256"), ("rsa2048", "rsa-pkcs1-sha384"), ("rsa3072", "rsa-pkcs1-sha512"),
    ("rsa2048", "rsa-pss-sha256"), ("rsa2048", "rsa-pss-sha384"), ("rsa2048", "rsa-pss-sha512"),
    ("p256", "ecdsa-sha256"), ("p384", "ecdsa-sha384"), ("p521", "ecdsa-sha512"), ("p256", "ecdsa-sha512"),
    ("ed25519", "ed25519"), ("ml-dsa-44", "ml-dsa-44"), ("ml-dsa-65", "ml-dsa-65"), ("ml-dsa-87", "ml-dsa-87"),
]  # fmt: skip


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize(("key", "algorithm"), KINDS)
def test_signed_and_verified(key: KeyKind, algorithm: str) -> None:
    who = person(f"signer-{key}", key)
    signature, micalg = sign([CONTENT[:10], CONTENT[10:]], who, algorithm=algorithm)
    (signer,) = verify_detached([signature], CONTENT)
    assert signer.certificate.der == who.der
    assert (signer.algorithm, signer.signed_at, signer.weak) == (algorithm, SIGNED_AT, ())
    assert signer.capabilities == read(ANNOUNCED)
    assert micalg.replace("-", "") == SIGNATURES[algorithm].digest.name
    for changed in (CONTENT[:-2], CONTENT.replace(b"Hello", b"hello"), b""):
        with pytest.raises(BadSignature):
            verify_detached([signature], changed)


@pytest.mark.parametrize(("key", "algorithm"), [("rsa2048", ""), ("p384", ""), ("p521", ""), ("ed25519", "")])
def test_the_keys_own_algorithm(key: KeyKind, algorithm: str) -> None:
    signature, _ = sign([CONTENT], person(f"signer-{key}", key), algorithm=algorithm)
    assert verify_detached([signature], CONTENT)[0].certificate.addresses == (f"signer-{key}@example.net",)


@pytest.mark.req("B1")
def test_what_we_write_is_der_that_others_read_the_same() -> None:
    signature, _ = sign([CONTENT], person("alice"))
    info = oracle.ContentInfo.load(signature, strict=True)
    assert info.dump(force=True) == signature
    data = info["content"]
    signer = data["signer_infos"][0]
    assert data["encap_content_info"]["content"].native is None
    assert data["certificates"][0].chosen.dump() == person("alice").der
    kinds = {each["type"].dotted for each in signer["signed_attrs"]}
    wanted = (
        oid.CONTENT_TYPE,
        oid.MESSAGE_DIGEST,
        oid.SIGNING_TIME,
        oid.SMIME_CAPABILITIES,
        oid.SIGNING_CERTIFICATE_V2,
    )
    assert kinds == set(map(oid.dotted, wanted))
    encodings = [each.dump() for each in signer["signed_attrs"]]
    assert encodings == sorted(encodings)


def test_other_algorithms_are_refused() -> None:
    for name in ("rsa-pkcs1-sha1", "ecdsa-sha256", "x", "ed25519"):
        with pytest.raises(Unsupported):
            prepare_signature([CONTENT], load_party(person("alice").der), algorithm=name)


def test_certificates_on_the_way_to_the_anchor_are_put_in() -> None:
    extra = authority().der
    pending = prepare_signature([CONTENT], load_party(person("alice").der), [extra], SIGNED_AT)
    signature = pending.finish(KeyInMemory(person("alice")).sign_now(pending.tbs, pending.algorithm))
    assert set(examine_detached([signature], CONTENT).certificates) == {extra, person("alice").der}


def test_bare_line_ends_verify_in_canonical_form() -> None:
    signature, _ = sign([CONTENT], person("alice"))
    assert verify_detached([signature], CONTENT.replace(b"\r\n", b"\n"))
    with pytest.raises(BadSignature):
        verify_detached([signature], CONTENT.replace(b"\r\n", b"\r\n\r\n"))


def test_a_signer_without_certificate() -> None:
    signature, _ = sign([CONTENT], person("alice"))
    info = oracle.ContentInfo.load(signature)
    info["content"]["certificates"] = oracle.CertificateSet([])
    bare = info.dump(force=True)
    with pytest.raises(NoCertificate):
        verify_detached([bare], CONTENT)
    assert verify_detached([bare], CONTENT, [person("bob").der, person("alice").der])


@pytest.mark.req("B8")
def test_weak_keys_are_told_and_do_not_count() -> None:
    who = person("short", "rsa1024")
    with pytest.raises(Weak) as caught:
        verify_detached([sign([CONTENT], who)[0]], CONTENT)
    assert caught.value.signer.weak == ("rsa-1024",)
    assert caught.value.signer.certificate.der == who.der


# ---- signatures made by hand


def made(
    who: Identity,
    attributes: list[bytes] | None = None,
    *,
    content: bytes = CONTENT,
    content_type: bytes = oid.DATA,
    inside: bytes = b"",
    change: Callable[[bytes], bytes] = lambda content: content,
) -> bytes:
    """A SignedData with these signed attributes instead of the usual ones; None: none, the content is signed."""
    template = signer_template(load_party(who.der), "rsa-pkcs1-sha256", int(SIGNED_AT.timestamp()), ())
    key = KeyInMemory(who)
    if attributes is None:
        signer = der.sequence(
            template.signer, template.signature_algorithm, der.octet_string(key.sign_now(content, "rsa-pkcs1-sha256"))
        )
    else:
        joined = b"".join(attributes)
        signature = key.sign_now(der.tlv(der.SET, joined), "rsa-pkcs1-sha256")
        signer = der.sequence(
            template.signer, der.explicit(0, change(joined)), template.signature_algorithm, der.octet_string(signature)
        )
    info = der.sequence(content_type, der.explicit(0, der.octet_string(inside)) if inside else b"")
    certificates = der.explicit(0, *template.certificates)
    data = der.sequence(der.integer(1), der.set_of(template.digest), info, certificates, der.tlv(der.SET, signer))
    return der.sequence(oid.SIGNED_DATA, der.explicit(0, data))


def attribute(kind: bytes, *values: bytes) -> bytes:
    """One Attribute."""
    return der.sequence(kind, der.set_of(*values))


def digest(content: bytes = CONTENT) -> bytes:
    """OCTET STRING of the content's SHA-256."""
    return der.octet_string(hashlib.sha256(content).digest())


TYPE = attribute(oid.CONTENT_TYPE, oid.DATA)
DIGEST = attribute(oid.MESSAGE_DIGEST, digest())
OTHER_TYPE = oid.encode("1.2.840.113549.1.9.16.1.4")


def verdict(octets: bytes, content: bytes = CONTENT) -> str:
    """What verification says."""
    try:
        verify_detached([octets], content)
    except SmimeError as fault:
        return fault.verdict
    return "ok"


@pytest.mark.req("B1")
def test_signatures_made_by_hand() -> None:
    alice = person("alice")
    assert verdict(made(alice, [TYPE, DIGEST])) == "ok"
    assert verdict(made(alice, None)) == "ok"
    assert verdict(made(alice, None), CONTENT + b"x") == "bad-signature"
    assert verdict(made(alice, [DIGEST])) == "malformed"
    assert verdict(made(alice, [TYPE])) == "malformed"
    assert verdict(made(alice, [])) == "malformed"
    # RFC 8551 2.4.2: what is signed is data, whatever a signature says besides
    assert verdict(made(alice, [TYPE, DIGEST], content_type=OTHER_TYPE)) == "unsupported"
    assert verdict(made(alice, None, content_type=OTHER_TYPE)) == "unsupported"
    assert verdict(made(alice, [TYPE, DIGEST], inside=CONTENT)) == "malformed"


@pytest.mark.req("B1")
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([TYPE, DIGEST, attribute(oid.MESSAGE_DIGEST, digest(b"other"))], "malformed"),
        ([TYPE, TYPE, DIGEST], "malformed"),
        ([TYPE, attribute(oid.MESSAGE_DIGEST, digest(), digest(b"other"))], "malformed"),
        ([attribute(oid.CONTENT_TYPE, oid.DATA, OTHER_TYPE), DIGEST], "malformed"),
        ([attribute(oid.CONTENT_TYPE, OTHER_TYPE), DIGEST], "malformed"),
        ([TYPE, attribute(oid.MESSAGE_DIGEST, der.octet_string(b""))], "bad-signature"),
        ([TYPE, DIGEST, attribute(oid.SIGNING_TIME, der.time(SIGNED_AT))], "ok"),
        ([TYPE, DIGEST, attribute(oid.SIGNING_TIME, der.tlv(der.UTC_TIME, b"2611220300Z"))], "malformed"),
        ([TYPE, DIGEST, attribute(oid.SIGNING_TIME, der.time(SIGNED_AT), der.time(SIGNED_AT))], "malformed"),
        ([TYPE, DIGEST, attribute(oid.SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(der.sequence(digest()))))],
         "bad-signature"),
        ([TYPE, DIGEST, attribute(oid.SIGNING_CERTIFICATE_V2, der.sequence())], "bad-signature"),
        ([TYPE, DIGEST, attribute(oid.SMIME_CAPABILITIES, der.octet_string(b"rubbish"))], "ok"),
    ],
)  # fmt: skip
def test_attributes(attributes: list[bytes], expected: str) -> None:
    assert verdict(made(person("alice"), attributes)) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(oid.SIGNING_TIME, "malformed"), (oid.MESSAGE_DIGEST, "malformed"), (oid.encode("1.2.840.113549.1.9.6"), "ok")],
)
def test_unsigned_attributes(kind: bytes, expected: str) -> None:
    """A countersignature is no concern of ours; what must be signed is refused among them."""
    (data,) = ber.single(made(person("alice"), [TYPE, DIGEST])).children()[1].children()
    fields = data.children()
    (signer,) = fields[-1].children()
    more = der.sequence(signer.content, der.explicit(1, attribute(kind, der.time(SIGNED_AT))))
    data_ = der.sequence(*(each.raw for each in fields[:-1]), der.tlv(der.SET, more))
    assert verdict(der.sequence(oid.SIGNED_DATA, der.explicit(0, data_))) == expected


def test_algorithm_protection() -> None:
    sha256 = SIGNATURES["rsa-pkcs1-sha256"].digest.identifier
    rsa = SIGNATURES["rsa-pkcs1-sha256"].identifier
    for algorithm, expected in ((rsa, "ok"), (SIGNATURES["rsa-pss-sha256"].identifier, "bad-signature")):
        value = der.sequence(sha256, der.retag(0xA1, algorithm))
        octets = made(person("alice"), [TYPE, DIGEST, attribute(oid.ALGORITHM_PROTECTION, value)])
        assert verdict(octets) == expected


@pytest.mark.parametrize(
    "identifier",
    [
        der.sequence(oid.encode("1.2.840.113549.1.1.12"), der.NULL),  # sha384WithRSAEncryption
        SIGNATURES["rsa-pss-sha384"].identifier,
        SIGNATURES["ecdsa-sha256"].identifier,
    ],
)
def test_digest_and_signature_algorithm_must_agree(identifier: bytes) -> None:
    """RFC 4056 3, RFC 5754 3: one hash for both, and it is the one that is told."""
    octets = made(person("alice"), [TYPE, DIGEST])
    (data,) = ber.single(octets).children()[1].children()
    fields = data.children()
    (signer,) = fields[-1].children()
    parts = signer.children()
    changed = der.sequence(*(each.raw for each in parts[:-2]), identifier, parts[-1].raw)
    forged = der.sequence(*(each.raw for each in fields[:-1]), der.tlv(der.SET, changed))
    assert verdict(der.sequence(oid.SIGNED_DATA, der.explicit(0, forged))) == "unsupported"


def test_the_attributes_are_verified_as_they_came() -> None:
    """In the signer's own order, though it is not that of DER; and changed afterwards they do not fit."""
    time_ = attribute(oid.SIGNING_TIME, der.time(SIGNED_AT))
    later = attribute(oid.SIGNING_TIME, der.time(datetime(2027, 1, 1, tzinfo=UTC)))
    assert verdict(made(person("alice"), [DIGEST, time_, TYPE])) == "ok"
    octets = made(person("alice"), [TYPE, DIGEST, time_], change=lambda joined: joined.replace(time_, later))
    assert verdict(octets) == "bad-signature"


def test_faults_of_several_signers() -> None:
    """One good signer does not make up for a bad one; one whose algorithm is not known is passed over."""
    good = made(person("alice"), [TYPE, DIGEST])
    info = ber.single(good).children()[1].children()[0].children()
    (signer,) = info[-1].children()
    sha256, sha224 = SIGNATURES["rsa-pkcs1-sha256"].digest.oid, oid.encode("2.16.840.1.101.3.4.2.4")
    unknown = der.tlv(der.SEQUENCE, signer.content.replace(sha256, sha224))
    spoilt = der.tlv(der.SEQUENCE, signer.content[:-1] + bytes((signer.content[-1] ^ 1,)))
    for second, expected in ((unknown, "ok"), (spoilt, "bad-signature"), (signer.raw, "ok")):
        data = der.sequence(*(each.raw for each in info[:-1]), der.tlv(der.SET, signer.raw + second))
        assert verdict(der.sequence(oid.SIGNED_DATA, der.explicit(0, data))) == expected
    only = der.sequence(*(each.raw for each in info[:-1]), der.tlv(der.SET, unknown))
    assert verdict(der.sequence(oid.SIGNED_DATA, der.explicit(0, only))) == "unsupported"
    nobody = der.sequence(*(each.raw for each in info[:-1]), der.tlv(der.SET))
    assert verdict(der.sequence(oid.SIGNED_DATA, der.explicit(0, nobody))) == "malformed"


@pytest.mark.parametrize("cut", [0, 1, 10, 500, -1])
def test_damage_is_malformed(cut: int) -> None:
    with pytest.raises(Malformed):
        verify_detached([sign([CONTENT], person("alice"))[0][:cut]], CONTENT)


@pytest.mark.req("B15")
@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        (b"From: alice@example.org\r\n", True),
        (b"From: \"Bob\" <ALICE@Example.ORG>\r\n", True),
        (b"From: bob@example.net\r\nSender: alice@example.org\r\nReply-To: alice@example.org\r\n", False),
        (b"From: alice@example.org, bob@example.net\r\n", False),
        (b"From: alice@example.org\r\nFrom: bob@example.net\r\n", False),
        (b"From: alice@example.org\r\nFrom: alice@example.org\r\n", False),
        (b"From: \"alice@example.org\" <bob@example.net>\r\n", False),
        (b"From: alice@example.org <bob@example.net>\r\n", False),
        (b"From: alice@example.org(<bob@example.net>)\r\n", True),
        (b"From: =?utf-8?Q?alice=40example.org?=\r\n", False),
        (b"From: alice@example.org\0bob@example.net\r\n", False),
        (b"From:\r\n", False),
        (b"", False),
    ],
)  # fmt: skip
def test_the_author_must_be_the_signer(fields: bytes, fits: bool) -> None:
    signer = load_party(person("alice").der).certificate
    message = Message(fields + b"Subject: x\r\n\r\n")
    if fits:
        check_author(signer, message)
        assert author(message) == "alice@example.org"
    else:
        with pytest.raises(AddressMismatch):
            check_author(signer, message)


# ---- the signing time


@pytest.mark.req("B16")
@pytest.mark.parametrize(
    ("date", "timely"),
    [
        (b"Sun, 22 Nov 2026 03:00:00 +0000", True),
        (b"Sun, 22 Nov 2026 05:00:00 +0100 (CET)", True),
        (b"Sun, 22 Nov 2026 02:30:00 -0000", True),
        (b"Sun, 22 Nov 2026 01:59:59 +0000", False),
        (b"Sun, 22 Nov 2026 04:00:01 +0000", False),
        (b"yesterday", False),
        (b"Sun, 22 Nov 99999 04:00:01 +0000", False),
        (b"\xff", False),
        (None, False),
    ],
)
def test_the_time_is_told_when_it_is_near_the_date(date: bytes | None, timely: bool) -> None:
    assert is_timely(date, SIGNED_AT) == timely


@pytest.mark.req("B16")
def test_a_signature_without_a_time() -> None:
    who = person("alice")
    pending = prepare_signature([b"x\r\n"], load_party(who.der), (), SIGNED_AT, timed=False)
    signature = pending.finish(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm))
    (signer,) = verify_detached([signature], b"x\r\n")
    assert signer.signed_at is None
    assert signer.capabilities is not None
