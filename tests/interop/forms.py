"""The forms of S/MIME that the matrix tries, and each as we write it.

Guarantees
    Keys and certificates are made when they are first asked for, and shared by all tests of a run. What we write is
    written by the parts that flow composes.

See also
    ``reading.py`` for what we find in a peer's message; ``matrix.py`` for what is expected of whom.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, NamedTuple

from letterlock.mail.message import Message
from letterlock.smime.cms_write import certificates_only
from letterlock.smime.compress import compress
from letterlock.smime.mime import multipart_signed, to_mime, wrap
from letterlock.smime.party import load_party
from letterlock.smime.sign import opaque, prepare_signature
from tests.fakes.authority import Identity, KeyKind
from tests.fakes.own_keys import KeyInMemory
from tests.fakes.people import encrypted_entity, person

LETTER = (
    b"From: Alice <alice@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: a letter\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"
    b"\r\nHello w=C3=B6rld\r\n\r\n-- \r\nA line that ends in a space:=20\r\n" + b"and many more\r\n" * 40
)
ENTITY = b"".join(bytes(each) for each in wrap(Message(LETTER)).entity)
"""What is protected: canonical, in 7 bits, so that no peer has a reason to touch it."""

PASSWORD = "correct horse"
Kind = Literal["detached", "opaque", "encrypted", "nested", "password", "compressed", "certificates"]
_TRANSPORTS = {"p256": "ecdh", "p384": "ecdh", "p521": "ecdh", "x25519": "x25519", "ml-kem-768": "ml"}


class Form(NamedTuple):
    """``keys``: of the signer, or of the recipients; ``algorithm``: of SIGNATURES; ``cipher``: of CIPHERS; ``padding``:
    for recipients with RSA keys."""

    name: str
    kind: Kind
    keys: tuple[KeyKind, ...] = ("rsa2048",)
    algorithm: str = ""
    cipher: str = ""
    padding: Literal["pkcs1", "oaep"] = "pkcs1"

    @property
    def people(self) -> tuple[Identity, ...]:
        """Who signs, or who reads. Each has a name of its own: NSS gives all certificates of a subject one nickname."""
        if self.kind in ("detached", "opaque"):
            return self.signers
        return tuple(person(f"reader{number}-{key}", key) for number, key in enumerate(self.keys))

    @property
    def signers(self) -> tuple[Identity, ...]:
        """Who signs, also inside of what is encrypted."""
        key = self.keys[0] if self.kind in ("detached", "opaque", "nested") else None
        return (person(f"signer-{key}", key),) if key else ()

    @property
    def transports(self) -> tuple[str, ...]:
        """How the content key comes to each recipient."""
        encrypted = self.kind in ("encrypted", "nested")
        return tuple(sorted(_TRANSPORTS.get(key, self.padding) for key in self.keys)) if encrypted else ()


def everybody() -> tuple[Identity, ...]:
    """All who sign or read in some form."""
    return tuple({who.der: who for form in FORMS for who in (*form.people, *form.signers)}.values())


_SIGNATURES: tuple[tuple[str, KeyKind, str], ...] = (
    ("RSA v1.5, SHA-256", "rsa2048", "rsa-pkcs1-sha256"),
    ("RSA PSS, SHA-256", "rsa2048", "rsa-pss-sha256"),
    ("ECDSA P-256", "p256", "ecdsa-sha256"),
    ("ECDSA P-384", "p384", "ecdsa-sha384"),
    ("ECDSA P-521", "p521", "ecdsa-sha512"),
    ("Ed25519", "ed25519", "ed25519"),
    ("ML-DSA-65", "ml-dsa-65", "ml-dsa-65"),
)
_RECIPIENTS: tuple[tuple[str, KeyKind, Literal["pkcs1", "oaep"]], ...] = (
    ("RSA v1.5", "rsa2048", "pkcs1"),
    ("RSA OAEP, SHA-256", "rsa2048", "oaep"),
    ("ECDH P-256", "p256", "pkcs1"),
    ("ECDH P-384", "p384", "pkcs1"),
    ("ECDH P-521", "p521", "pkcs1"),
    ("X25519", "x25519", "pkcs1"),
)


def _forms() -> tuple[Form, ...]:
    forms: list[Form] = []
    kinds: tuple[Literal["detached", "opaque"], ...] = ("detached", "opaque")
    for kind in kinds:
        forms += [Form(f"signed, {kind}: {name}", kind, (key,), how) for name, key, how in _SIGNATURES]
    for bits in (128, 256):
        forms += [
            Form(f"AES-{bits}-CBC: {name}", "encrypted", (key,), cipher=f"aes{bits}-cbc", padding=how)
            for name, key, how in _RECIPIENTS
        ]
    forms += [
        Form("AES-256-CBC: ML-KEM-768", "encrypted", ("ml-kem-768",), cipher="aes256-cbc"),
        Form("AES-128-GCM: RSA v1.5", "encrypted", cipher="aes128-gcm"),
        Form("AES-256-GCM: RSA OAEP, SHA-256", "encrypted", cipher="aes256-gcm", padding="oaep"),
        Form("AES-256-GCM: ECDH P-256", "encrypted", ("p256",), cipher="aes256-gcm"),
        Form("AES-256-GCM: ML-KEM-768", "encrypted", ("ml-kem-768",), cipher="aes256-gcm"),
        Form("3DES: RSA v1.5", "encrypted", cipher="3des-cbc"),
        Form("two recipients: RSA v1.5", "encrypted", ("rsa2048", "rsa2048"), cipher="aes256-cbc"),
        Form("two recipients: P-256 and P-384", "encrypted", ("p256", "p384"), cipher="aes256-cbc"),
        Form("two kinds of recipients: RSA v1.5 and P-256", "encrypted", ("rsa2048", "p256"), cipher="aes256-cbc"),
        Form("two kinds of recipients: RSA OAEP and P-256", "encrypted", ("rsa2048", "p256"), "", "aes256-cbc", "oaep"),
        Form("nested, signed then encrypted: RSA v1.5", "nested", cipher="aes256-cbc"),
        Form("nested, signed then encrypted: P-256", "nested", ("p256",), cipher="aes256-cbc"),
        Form("password, AES-256-CBC", "password", (), cipher="aes256-cbc"),
        Form("compressed", "compressed", ()),
        Form("certificates only", "certificates", ("rsa2048", "p256")),
    ]
    return tuple(forms)


FORMS = _forms()
NOT_WRITTEN = {
    "3DES: RSA v1.5": "weak: we read it, and write it never",
    "two kinds of recipients: RSA v1.5 and P-256": "we write one message for each kind",
    "two kinds of recipients: RSA OAEP and P-256": "we write one message for each kind",
    "password, AES-256-CBC": "we read it, and do not write it",
}
"""Forms that we do not write, and why."""


def ours(form: Form) -> bytes:
    """The form as we write it: an entity with MIME-Version, as it stands below a message's own fields."""
    assert form.name not in NOT_WRITTEN
    if form.kind == "certificates":
        return b"".join(to_mime([certificates_only([who.der for who in form.people])], "certs-only"))
    if form.kind == "compressed":
        return b"".join(to_mime(compress([ENTITY]), "compressed-data"))
    if form.kind == "detached":
        return b"MIME-Version: 1.0\r\n" + _signed(form)
    if form.kind == "opaque":
        (who,) = form.signers
        pending = prepare_signature([ENTITY], load_party(who.der), (), datetime.now(UTC), algorithm=form.algorithm)
        done = pending.signed(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm))
        return b"".join(to_mime(opaque([ENTITY], len(ENTITY), [done]), "signed-data"))
    content = _signed(form) if form.kind == "nested" else ENTITY
    return encrypted_entity([content], *form.people, cipher=form.cipher, transport=form.padding)


def _signed(form: Form) -> bytes:
    """multipart/signed, without MIME-Version."""
    (who,) = form.signers
    pending = prepare_signature([ENTITY], load_party(who.der), (), datetime.now(UTC), algorithm=form.algorithm)
    signature = pending.finish(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm))
    return b"".join(bytes(each) for each in multipart_signed([ENTITY], pending, signature))


def expected(form: Form) -> list[bytes]:
    """What a peer returns that reads the form: the content, once for each of its readers; or the certificates."""
    if form.kind == "certificates":
        return sorted(who.der for who in form.people)
    return [ENTITY] * (len(form.people) if form.kind == "encrypted" else 1)
