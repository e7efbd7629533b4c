"""The algorithms this product uses, which of them NIST has approved, and the profile that this process keeps.

States
    default   everything in the table is used
    fips      only what is approved: the rest is neither written nor read, and is told as unsupported

Order
    ``keep`` is called once in a process, before it does anything with keys; processes that are forked later inherit it.

Guarantees
    One table: ``permits`` answers from it alone, docs/fips.md shows it (a test compares), and a test asks for a row of every
    algorithm in the tables of smime. What stands in no row is not permitted under fips.
    SHA-1 as the name of a thing (key identifiers, CertID of OCSP) is no use of it: nothing rests on its strength.

Standards
    FIPS 140-3, SP 800-140C and D (what is approved), SP 800-131A r2 (what no longer is), SP 800-52 r2 (TLS).

See also
    ``approved_tls.py`` (TLS); ``vault/provider.py``: whether OpenSSL reports a FIPS provider.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

Profile = Literal["default", "fips"]
Area = Literal[
    "content encryption", "digest", "signature", "curve", "key transport", "key agreement", "key encapsulation",
    "key derivation", "key wrap", "certificate key", "password", "storage", "TLS",
]  # fmt: skip


class Row(NamedTuple):
    """One algorithm. ``standard``: what approves it, or why it is not; ``disabled``: what is gone with it under fips."""

    area: Area
    name: str
    approved: bool
    standard: str
    disabled: str = ""


def _yes(area: Area, standard: str, *names: str) -> tuple[Row, ...]:
    return tuple(Row(area, name, True, standard) for name in names)


def _no(area: Area, why: str, disabled: str, *names: str) -> tuple[Row, ...]:
    return tuple(Row(area, name, False, why, disabled) for name in names)


_OLD_MAIL: Final = "reading old mail that uses it"

TABLE: Final[tuple[Row, ...]] = (
    *_yes("content encryption", "FIPS 197, SP 800-38A", "aes128-cbc", "aes192-cbc", "aes256-cbc"),
    *_yes("content encryption", "FIPS 197, SP 800-38D", "aes128-gcm", "aes192-gcm", "aes256-gcm"),
    *_no("content encryption", "SP 800-131A r2 2: encryption disallowed since 2024", _OLD_MAIL, "3des-cbc"),
    *_no("content encryption", "never approved", _OLD_MAIL, "rc2-cbc"),
    *_yes("digest", "FIPS 180-4", "sha256", "sha384", "sha512"),
    *_no("digest", "SP 800-131A r2 9: not for signatures", "SHA-1 in signatures, OAEP and derivations", "sha1"),
    *_yes("signature", "FIPS 186-5 5", "rsa-pkcs1", "rsa-pss"),
    *_yes("signature", "FIPS 186-5 6", "ecdsa"),
    *_yes("signature", "FIPS 186-5 7", "ed25519"),
    *_yes("signature", "FIPS 204", "ml-dsa"),
    *_no("signature", "FIPS 186-5: withdrawn", "verifying DSA", "dsa"),
    *_yes("curve", "SP 800-186 3.2.1", "secp256r1", "secp384r1", "secp521r1"),
    *_yes("key transport", "SP 800-56B r2", "rsa-oaep"),
    *_no(
        *("key transport", "SP 800-131A r2 6: disallowed since 2024"),
        "encrypting and decrypting with it; most S/MIME programs know no other way for RSA",
        "rsa-pkcs1",
    ),
    *_yes("key agreement", "SP 800-56A r3", "ecdh-p256", "ecdh-p384", "ecdh-p521"),
    *_no("key agreement", "not in SP 800-56A r3", "certificates with X25519 keys", "x25519"),
    *_yes("key encapsulation", "FIPS 203", "ml-kem-768", "ml-kem-1024"),
    *_yes("key derivation", "SP 800-135 r1 4.2", "x963-sha224", "x963-sha256", "x963-sha384", "x963-sha512"),
    *_yes("key derivation", "SP 800-56C r2", "hkdf-sha256", "hkdf-sha384", "hkdf-sha512"),
    *_no("key derivation", "stricter here than SP 800-131A r2", "ECDH as openssl does it unless told", "x963-sha1"),
    *_yes("key wrap", "SP 800-38F", "aes128-wrap", "aes192-wrap", "aes256-wrap"),
    *_no("key wrap", "SP 800-131A r2 7", _OLD_MAIL, "3des-wrap"),
    *_yes("certificate key", "FIPS 186-5, SP 800-56B r2", "rsa", "rsa-pss"),
    *_yes("certificate key", "FIPS 186-5, SP 800-56A r3; P-256, P-384, P-521 only", "ec"),
    *_yes("certificate key", "FIPS 186-5 7", "ed25519", "ed448"),
    *_yes("certificate key", "FIPS 204", "ml-dsa"),
    *_yes("certificate key", "FIPS 203", "ml-kem"),
    *_no("certificate key", "not in SP 800-56A r3", "such certificates", "x25519", "x448"),
    *_no("certificate key", "FIPS 186-5: withdrawn", "such certificates", "dsa"),
    *_no("certificate key", "not known here", "such certificates", "other"),
    *_yes("password", "SP 800-132", "private key under PBES2 with PBKDF2"),
    *_no("password", "its MAC key comes by RFC 7292 B, not SP 800-132", "PKCS#12 files, in and out", "PKCS#12"),
    *_no("password", "MD5 or RC4 inside, or scrypt", "such private key files", "private key under older schemes"),
    *_no("password", "RFC 9106, not SP 800-132", "the root key from a passphrase", "Argon2id"),
    *_no("password", "RFC 3211, not SP 800-38F", "opening CMS with a password", "password recipient"),
    *_yes("storage", "FIPS 197, SP 800-38D", "AES-256-GCM"),
    *_yes("storage", "SP 800-108 r1 4.2 (feedback mode)", "HKDF-Expand with SHA-256"),
    *_yes("storage", "FIPS 198-1, FIPS 180-4", "HMAC-SHA-256"),
    *_yes("storage", "FIPS 186-5 7", "Ed25519 (seals of the audit trail)"),
    *_yes("TLS", "SP 800-52 r2 3.3", "ECDHE on P-256 with AES-GCM"),
    *_no("TLS", "RFC 8439, never approved", "such cipher suites", "ChaCha20-Poly1305"),
    *_no("TLS", "not in SP 800-56A r3", "such groups", "X25519"),
)
_APPROVED: Final = {(each.area, each.name): each.approved for each in TABLE}
PROFILES: Final[tuple[Profile, ...]] = ("default", "fips")
_kept: list[Profile] = ["default"]


def keep(profile: Profile) -> None:
    """From now on this process keeps ``profile``."""
    _kept[0] = profile


def kept() -> Profile:
    """The profile of this process."""
    return _kept[0]


@contextmanager
def keeping(profile: Profile) -> Iterator[None]:
    """Keep ``profile`` for a while, as tests do."""
    before = kept()
    keep(profile)
    try:
        yield
    finally:
        keep(before)


def permits(area: Area, name: str) -> bool:
    """May this process use the algorithm?"""
    return _kept[0] == "default" or _APPROVED.get((area, name), False)


def refusal(area: Area, name: str) -> str:
    """The detail of the error that says no."""
    return f"{area} {name} is not approved (crypto_profile is {kept()})"


def page() -> str:
    """The table in Markdown, as docs/fips.md has it."""
    lines = ["| area | algorithm | under fips | why | what is gone with it |", "|---|---|---|---|---|"]
    lines += [
        f"| {each.area} | {each.name} | {'used' if each.approved else 'not used'} | {each.standard} | {each.disabled} |"
        for each in TABLE
    ]
    return "\n".join(lines) + "\n"


def disabled() -> tuple[str, ...]:
    """What fips takes away, in words, each once."""
    return tuple(dict.fromkeys(f"{each.name} ({each.disabled})" for each in TABLE if not each.approved))
