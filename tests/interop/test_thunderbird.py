"""Thunderbird's rules, as docs/interop.md has them from its sources, held against what we write and what we certify.

See also
    ``test_matrix.py`` for NSS, the library below it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import cms as oracle
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.asn1 import der
from letterlock.mail.parse import Part, parse
from letterlock.pki.ca.profile import Profile
from letterlock.pki.ca.tbs import Places, name
from letterlock.pki.ca.tbs import person as tbs_of
from letterlock.smime.capabilities import group_recipients, read
from letterlock.smime.decrypt import Enveloped
from letterlock.smime.describe import describe
from letterlock.smime.encrypt import enveloped, smime_type
from letterlock.smime.mime import to_mime
from letterlock.smime.party import load_party
from letterlock.smime.spool import MemorySpool
from tests.fakes.authority import Identity, KeyKind, make_key
from tests.fakes.own_keys import Keys
from tests.fakes.people import authority, person
from tests.interop.forms import ENTITY, FORMS, Form, ours
from tests.interop.peers.nss import Nss
from tests.interop.reading import cms_of

CAPABILITIES = "1.2.840.113549.1.9.15"  # RFC 8551 2.5.2
DIGESTS = {"sha-256", "sha256", "sha-384", "sha384", "sha-512", "sha512"}
CLEAR = [form for form in FORMS if form.kind == "detached"]
NESTED = [form for form in FORMS if form.kind == "nested"]


def _signer_info(mail: bytes) -> oracle.SignerInfo:
    (info,) = oracle.ContentInfo.load(cms_of(mail), strict=True)["content"]["signer_infos"]
    return info


def _attributes(info: oracle.SignerInfo) -> dict[str, object]:
    return {each["type"].native: each["values"][0].native for each in info["signed_attrs"]}


# ---- signatures


@pytest.mark.req("B1", "B16")
@pytest.mark.parametrize("form", CLEAR, ids=lambda form: form.name)
def test_a_signature_in_clear(form: Form) -> None:
    """micalg is one word that it knows; the second part says application/pkcs7-signature."""
    whole = parse(ours(form))
    assert whole.content_type.value == "multipart/signed"
    assert whole.content_type.parameters["micalg"] in DIGESTS
    content, signature = whole.children
    assert signature.content_type.value == "application/pkcs7-signature"
    assert content.body_start > content.start, "the content begins with a header"


@pytest.mark.req("B1", "B16")
@pytest.mark.parametrize("form", [each for each in CLEAR if "ML-DSA" not in each.name], ids=lambda form: form.name)
def test_what_is_signed(form: Form) -> None:
    """One signer, whose digest is of SHA-2, and whose certificate is there; a time near that of the message; what we
    read, so that Thunderbird writes to us with AES-256."""
    mail = ours(form)
    info = _signer_info(mail)
    assert info["digest_algorithm"]["algorithm"].native in ("sha256", "sha384", "sha512")
    attributes = _attributes(info)
    signed_at = attributes["signing_time"]
    assert isinstance(signed_at, datetime)
    assert abs(datetime.now(UTC) - signed_at) < timedelta(hours=1)
    (value,) = (each["values"] for each in info["signed_attrs"] if each["type"].dotted == CAPABILITIES)
    assert {"aes256-cbc", "aes128-cbc"} <= read(value[0].dump())
    certificates = oracle.ContentInfo.load(cms_of(mail))["content"]["certificates"]
    assert form.signers[0].der in [each.chosen.dump() for each in certificates]


@pytest.mark.req("B1", "B16")
@pytest.mark.parametrize("form", NESTED, ids=lambda form: form.name)
def test_signed_then_encrypted_is_one_in_the_other(form: Form) -> None:
    """A signature counts when it is the whole message, or the whole of what was encrypted: nothing stands between."""
    whole = parse(ours(form))
    assert whole.content_type.value == "application/pkcs7-mime"
    (who,) = form.people
    inner = parse(_opened(whole, who))
    assert inner.content_type.value == "multipart/signed"


def _opened(part: Part, who: Identity) -> bytes:
    spool = MemorySpool()
    asyncio.run(Enveloped(part.decoded).open(Keys(who), spool))
    return bytes(spool.octets())


# ---- encryption

THUNDERBIRD = read(
    der.sequence(
        *(
            der.sequence(bytes.fromhex(each))
            for each in ("060960864801650304012a", "0609608648016503040102", "06082a864886f70d0307")
        )
    )
)
"""AES-256, AES-128 and triple DES in CBC mode: what NSS announces of itself."""


@pytest.mark.req("B1", "B8", "B16")
@pytest.mark.parametrize("capabilities", [None, THUNDERBIRD], ids=["unknown", "announced"])
@pytest.mark.parametrize("key", ["rsa2048", "p256"])
def test_encrypted_so_that_it_is_read(capabilities: frozenset[str] | None, key: KeyKind) -> None:
    """enveloped-data with AES in CBC mode: any other smime-type is not even decoded. RSA v1.5; each kind alone."""
    who = person("thunderbird", key)
    (group,) = group_recipients([load_party(who.der, capabilities)])
    mail = b"".join(to_mime(enveloped([ENTITY], len(ENTITY), group), smime_type(group)))
    part = parse(mail)
    assert part.content_type.parameters["smime-type"] == "enveloped-data"
    assert part.filename == "smime.p7m"
    cms = cms_of(mail)
    told = describe(lambda: (cms,))
    assert told.cipher == "aes256-cbc"
    assert {each.algorithm.partition("-aes")[0] for each in told.recipients} <= {"rsa-pkcs1", "ecdh-x963-sha256"}


@pytest.mark.req("B16")
def test_no_message_is_for_two_kinds_of_keys() -> None:
    """NSS before 3.100 refuses the whole message."""
    people = [person("reader-rsa", "rsa2048"), person("reader-p256", "p256"), person("reader-rsa-2", "rsa2048")]
    groups = group_recipients([load_party(who.der) for who in people])
    assert sorted(len(group.parties) for group in groups) == [1, 2]


# ---- certificates


def certified(profile: Profile, kind: KeyKind) -> Identity:
    """A person's certificate as our authority puts it together, signed by the tests' anchor."""
    key, issuer = make_key(kind), authority()
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    address = f"certified-{kind}@example.net"
    places = Places("http://ca.example.net", "issuing")
    tbs = tbs_of(profile, name(address), address, spki, issuer.certificate, places, datetime.now(UTC))
    signature = issuer.key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    algorithm = der.sequence(bytes.fromhex("06092a864886f70d01010b"), der.NULL)
    octets = der.sequence(tbs, algorithm, der.tlv(0x03, b"\0" + signature))
    return Identity(x509.load_der_x509_certificate(octets), key, issuer.chain)


CERTIFIED: list[tuple[Profile, KeyKind]] = [(Profile(), "rsa2048"), (Profile(key="ec-p256"), "p256")]


@pytest.mark.req("B16", "I1")
@pytest.mark.parametrize(("profile", "key"), CERTIFIED, ids=["rsa", "ec"])
def test_certificates_of_our_authority(profile: Profile, key: KeyKind) -> None:
    """emailProtection; digitalSignature to sign, keyEncipherment or keyAgreement to be written to; the address as
    subjectAltName, which has to be that of From; no authority."""
    extensions = certified(profile, key).certificate.extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.key_encipherment or usage.key_agreement
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ExtendedKeyUsageOID.EMAIL_PROTECTION in purposes
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == [f"certified-{key}@example.net"]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.req("B16", "I1")
@pytest.mark.parametrize(("profile", "key"), CERTIFIED, ids=["rsa", "ec"])
def test_nss_takes_them(profile: Profile, key: KeyKind) -> None:
    """Asked as Thunderbird asks it: may it sign mail, may mail be encrypted to it?"""
    nss = Nss(())
    try:
        nss.learns(certified(profile, key))
        assert nss.is_valid(f"certified-{key}@example.net", "S")
        assert nss.is_valid(f"certified-{key}@example.net", "R")
        nss.learns(authority().issue("web@example.net", "p256", purposes=("server",)))
        assert not nss.is_valid("web@example.net", "S"), "NSS would take anything"
    finally:
        nss.close()
