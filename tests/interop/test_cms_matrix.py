"""What we write, openssl and gpgsm read; what they write, in DER and in BER, we read: every combination they know.

Known limits of the peers (seen with openssl 3.0 and gpgsm 2.2): gpgsm knows neither OAEP nor GCM and imports no
elliptic curve keys; openssl 3.0 verifies no Ed25519 in CMS.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.smime.decrypt import Enveloped
from letterlock.smime.errors import Weak
from letterlock.smime.mime import to_mime, wrap
from letterlock.smime.party import load_party
from letterlock.smime.peel import peel
from letterlock.smime.sign import detached, opaque, prepare_signature
from letterlock.smime.spool import MemorySpool
from letterlock.smime.verify import verify_detached, verify_opaque
from tests.fakes.authority import Identity, KeyKind
from tests.fakes.own_keys import KeyInMemory, Keys
from tests.fakes.people import TEXT, authority, encrypted, person, sign, signed, signed_and_encrypted
from tests.interop.cms_peers import Gpgsm, OpenSSL, gpgsm, run

pytestmark = [pytest.mark.peer, pytest.mark.slow]

CONTENT = b"Content-Type: text/plain\r\n\r\nHello\r\n" * 300
KEYS: list[KeyKind] = ["rsa2048", "rsa3072", "p256", "p384", "p521"]


def reader(key: KeyKind) -> Identity:
    """Somebody with such a key."""
    return person(f"reader-{key}", key)


def signer(key: KeyKind) -> Identity:
    """Somebody with such a key."""
    return person(f"signer-{key}", key)


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpenSSL:
    everybody = [make(key) for key in KEYS for make in (reader, signer)]
    return OpenSSL(tmp_path_factory.mktemp("openssl"), authority(), [*everybody, person("alice"), person("bob")])


@pytest.fixture(scope="module")
def gnupg() -> Iterator[Gpgsm]:
    with (
        tempfile.TemporaryDirectory(prefix="ll-gpg-") as home,
        gpgsm(Path(home), authority(), [person("alice"), person("bob")]) as peer,
    ):
        yield peer


# ---- ours, read by them


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm"])
@pytest.mark.parametrize(
    ("key", "transport"),
    [("rsa2048", "pkcs1"), ("rsa3072", "oaep"), ("p256", "auto"), ("p384", "auto"), ("p521", "auto")],
)
def test_openssl_decrypts(openssl: OpenSSL, key: KeyKind, transport: str, cipher: str) -> None:
    who = reader(key)
    message = encrypted(TEXT, who, cipher=cipher, transport=transport)
    assert openssl.decrypts(message, who) == b"".join(wrap(Message(TEXT)).entity)


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        ("rsa2048", "rsa-pkcs1-sha256"), ("rsa2048", "rsa-pkcs1-sha384"), ("rsa3072", "rsa-pkcs1-sha512"),
        ("rsa2048", "rsa-pss-sha256"), ("rsa2048", "rsa-pss-sha512"),
        ("p256", "ecdsa-sha256"), ("p384", "ecdsa-sha384"), ("p521", "ecdsa-sha512"),
    ],
)  # fmt: skip
def test_openssl_verifies(openssl: OpenSSL, key: KeyKind, algorithm: str) -> None:
    message = signed(TEXT, signer(key), algorithm=algorithm)
    assert openssl.verifies(message) == b"".join(wrap(Message(TEXT)).entity)


@pytest.mark.req("B1")
def test_openssl_opens_and_verifies(openssl: OpenSSL) -> None:
    message = signed_and_encrypted(TEXT, person("alice"), person("bob"), reader("rsa2048"))
    for who in (person("bob"), reader("rsa2048")):
        assert openssl.verifies(openssl.decrypts(message, who)) == b"".join(wrap(Message(TEXT)).entity)


@pytest.mark.req("B1", "B3", "B14")
@pytest.mark.parametrize("people", [("alice",), ("alice", "bob")], ids=str)
def test_content_inside_and_several_signers(openssl: OpenSSL, gnupg: Gpgsm, people: tuple[str, ...]) -> None:
    done = []
    for name in people:
        pending = prepare_signature([CONTENT], load_party(person(name).der))
        done.append(pending.signed(KeyInMemory(person(name)).sign_now(pending.tbs, pending.algorithm)))
    cms = b"".join(opaque([CONTENT], len(CONTENT), done))
    message = b"".join(to_mime([cms], "signed-data"))
    assert openssl.verifies(message) == CONTENT
    gnupg.verifies(detached(done), CONTENT)


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes192-cbc", "aes256-cbc"])
def test_gpgsm_decrypts(gnupg: Gpgsm, cipher: str) -> None:
    message = encrypted(TEXT, reader("rsa2048"), person("bob"), cipher=cipher)
    assert gnupg.decrypts(b"".join(Part(message).decoded())) == b"".join(wrap(Message(TEXT)).entity)


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize(
    ("key", "algorithm"),
    [("rsa2048", "rsa-pkcs1-sha256"), ("rsa3072", "rsa-pkcs1-sha512"), ("rsa2048", "rsa-pss-sha256"),
     ("p256", "ecdsa-sha256"), ("p384", "ecdsa-sha384")],
)  # fmt: skip
def test_gpgsm_verifies(gnupg: Gpgsm, key: KeyKind, algorithm: str) -> None:
    gnupg.verifies(sign([CONTENT], signer(key), algorithm=algorithm)[0], CONTENT)


# ---- theirs, read by us


def opened(cms: bytes, who: Identity) -> tuple[bytes, str]:
    """Content and cipher."""
    enveloped = Enveloped(lambda: (cms[at : at + 999] for at in range(0, len(cms), 999)))
    spool = MemorySpool()
    (holder,) = asyncio.run(enveloped.open(Keys(who), spool))
    assert holder.der == who.der
    return bytes(spool.octets()), enveloped.envelope.cipher.name


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize("stream", [(), ("-stream",)], ids=["der", "ber"])
@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "aes-128-gcm", "aes-256-gcm", "des3"])
@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("rsa2048", ()),
        ("rsa3072", ("-keyid",)),
        ("rsa2048", ("-keyopt", "rsa_padding_mode:oaep")),
        ("rsa2048", ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")),
        ("p256", ()),
        ("p384", ("-keyopt", "ecdh_kdf_md:sha256")),
        ("p521", ("-keyid", "-keyopt", "ecdh_kdf_md:sha512")),
    ],
    ids=str,
)
def test_openssl_encrypts(
    openssl: OpenSSL, key: KeyKind, options: tuple[str, ...], cipher: str, stream: tuple[str, ...]
) -> None:
    cms = openssl.encrypts(CONTENT, reader(key), *options, f"-{cipher}", *stream)
    content, name = opened(cms, reader(key))
    assert content == CONTENT
    assert name == {"des3": "3des-cbc"}.get(cipher, cipher.replace("aes-", "aes"))


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize("stream", [(), ("-stream",)], ids=["der", "ber"])
@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-256-cbc", "des3"])
def test_openssl_encrypts_with_a_password(openssl: OpenSSL, cipher: str, stream: tuple[str, ...]) -> None:
    command = [
        "openssl",
        "cms",
        "-encrypt",
        "-binary",
        "-outform",
        "DER",
        "-pwri_password",
        "correct horse",
        f"-{cipher}",
    ]
    cms = run([*command, *stream], CONTENT)
    spool = MemorySpool()
    asyncio.run(Enveloped(lambda: (cms,)).open_with_password("correct horse", spool))
    assert spool.octets() == CONTENT


@pytest.mark.req("B8")
def test_what_is_weak_is_read_and_told(openssl: OpenSSL) -> None:
    """Triple DES, RC2, SHA-1: openssl still writes them."""
    who = reader("rsa2048")
    for cipher, name in (("-des3", "3des-cbc"), ("-rc2", "rc2-cbc")):
        legacy = ("-provider", "legacy", "-provider", "default")
        cms = openssl.encrypts(CONTENT, who, cipher, *(legacy if cipher == "-rc2" else ()))
        enveloped = Enveloped(lambda cms=cms: (cms,))
        assert (enveloped.envelope.cipher.name, enveloped.envelope.cipher.weak) == (name, True)
        assert opened(cms, who)[0] == CONTENT
    with pytest.raises(Weak) as caught:
        verify_detached([openssl.signs(CONTENT, signer("rsa2048"), "-md", "sha1")], CONTENT)
    assert caught.value.signer.weak == ("sha1",)


DETACHED, OPAQUE, STREAMED = (), ("-nodetach",), ("-nodetach", "-stream")
SIGNED = [
    ("rsa2048", ("-md", "sha256"), "rsa-pkcs1-sha256"),
    ("rsa2048", ("-md", "sha512", "-keyid"), "rsa-pkcs1-sha512"),
    ("p256", ("-md", "sha256"), "ecdsa-sha256"),
    ("p384", ("-md", "sha384"), "ecdsa-sha384"),
    ("p521", ("-md", "sha512", "-cades"), "ecdsa-sha512"),
    ("rsa2048", ("-md", "sha256", "-noattr"), "rsa-pkcs1-sha256"),
    ("p256", ("-md", "sha256", "-noattr"), "ecdsa-sha256"),
]
PSS = [
    ("rsa3072", ("-md", "sha256", "-keyopt", "rsa_padding_mode:pss"), "rsa-pss-sha256"),
    ("rsa2048", ("-md", "sha384", "-keyopt", "rsa_padding_mode:pss"), "rsa-pss-sha384"),
]


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize(
    ("key", "options", "algorithm", "form"),
    # openssl 3.0 writes neither a detached signature nor PSS with -stream
    [(*each, form) for each in SIGNED for form in (DETACHED, OPAQUE, STREAMED)]
    + [(*each, form) for each in PSS for form in (DETACHED, OPAQUE)],
    ids=str,
)
def test_openssl_signs(
    openssl: OpenSSL, key: KeyKind, options: tuple[str, ...], algorithm: str, form: tuple[str, ...]
) -> None:
    cms = openssl.signs(CONTENT, signer(key), *options, *form)
    if form:
        spool = MemorySpool()
        (found,) = verify_opaque([cms], spool.write)
        assert spool.octets() == CONTENT
    else:
        (found,) = verify_detached([cms], CONTENT)
    assert (found.algorithm, found.certificate.der) == (algorithm, signer(key).der)


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize("cipher", ["AES", "AES192", "AES256", "3DES"])
def test_gpgsm_encrypts(gnupg: Gpgsm, cipher: str) -> None:
    cms = gnupg.encrypts(CONTENT, "bob@example.net", "--cipher-algo", cipher)
    assert opened(cms, person("bob"))[0] == CONTENT


@pytest.mark.req("B1", "B8")
@pytest.mark.parametrize("digest", ["SHA256", "SHA384", "SHA512"])
def test_gpgsm_signs(gnupg: Gpgsm, digest: str) -> None:
    (found,) = verify_detached(
        [gnupg.signs(CONTENT, "alice@example.org", "--detach", "--digest-algo", digest)], CONTENT
    )
    assert (found.algorithm, found.addresses) == (f"rsa-pkcs1-{digest.lower()}", ("alice@example.org",))
    spool = MemorySpool()
    verify_opaque([gnupg.signs(CONTENT, "alice@example.org", "--digest-algo", digest)], spool.write)
    assert spool.octets() == CONTENT


@pytest.mark.req("B1", "B2")
@pytest.mark.parametrize("opaque", [False, True], ids=["clear", "opaque"])
def test_whole_messages_of_openssl(openssl: OpenSSL, opaque: bool) -> None:
    """Signed, then encrypted, with the line ends and headers openssl makes (LF, x-pkcs7 types)."""
    entity = b"".join(wrap(Message(TEXT)).entity)
    alice, bob = openssl.of(person("alice")), openssl.of(person("bob"))
    inner = run(["openssl", "cms", "-sign", "-signer", alice, *(["-nodetach"] if opaque else [])], entity)
    message = b"From: alice@example.org\n" + run(["openssl", "cms", "-encrypt", "-stream", "-recip", bob], inner)
    found = asyncio.run(peel(Message(message), Keys(person("bob"))))
    assert [(each.kind, each.verdict) for each in found.layers] == [("encrypted", "ok"), ("signed", "ok")]
    assert [one.verdict for one in found.layers[1].outcomes] == ["ok"]
    assert bytes(found.bare().body) == "Hello wörld\r\n".encode()
