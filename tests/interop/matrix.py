"""What is expected: every peer, every form, both directions, in one table. ``docs/interop.md`` is made from it.

Order
    A cell is found by the first rule of its peer and direction whose pattern fits the form's name; without one, it works.

States
    ok        it works, and must
    refused   the peer refuses, for a reason that is known; the test demands the refusal and what it says, so that it
              turns red on the day on which the peer learns it
    learned   refused by an older version of those that were tried, and works with a newer one
    n/a       the peer's program has no command for it, or we write no such thing

Versions
    ``TRIED`` has those of Debian 12, Debian 13 and Debian unstable; their first two numbers count. Between the last that
    refuses and the first that has learned, either is right. Beyond the newest nobody has tried: there a peer may have
    learned what is refused here, and the test says so without failing. For PKI.js, which we pin, it fails.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from tests.interop.forms import NOT_WRITTEN, Form

Direction = Literal["reads", "writes"]
DIRECTIONS: tuple[Direction, ...] = ("reads", "writes")
State = Literal["ok", "refused", "learned", "n/a"]


class Cell(NamedTuple):
    """``reason``: a sentence; ``says``: what the refusal must match, a regular expression; ``by``: the first of
    ``TRIED`` that has learned it."""

    state: State
    reason: str = ""
    says: str = ""
    by: int = 0


OK = Cell("ok")
Rules = tuple[tuple[str, Cell], ...]


def refused(reason: str, says: str) -> Cell:
    """By every version that was tried."""
    return Cell("refused", reason, says)


def learned(reason: str, says: str, by: int = 1) -> Cell:
    """Refused by Debian 12's version; not by Debian 13's (1), or unstable's (2)."""
    return Cell("learned", reason, says, by)


def not_offered(reason: str) -> Cell:
    """There is nothing to try."""
    return Cell("n/a", reason)


TRIED_ON = "2026-11-28"
TRIED: dict[str, tuple[str, str, str]] = {
    "openssl": ("3.0.19", "3.5.9", "3.6.5"),
    "gpgsm": ("2.2.40", "2.4.7", "2.4.9"),
    "NSS": ("3.87.1", "3.110", "3.132"),
    "GnuTLS": ("3.7.9", "3.8.9", "3.8.13"),
    "BouncyCastle": ("1.72", "1.80", "1.86.2"),
    "PKI.js": ("3.4.3", "3.4.3", "3.4.3"),
}
"""The versions of Debian 12, 13 and unstable; PKI.js is pinned by ``peers/package-lock.json``."""

PINNED = frozenset({"PKI.js"})

# ---- openssl cms

_OPENSSL_25519 = "openssl cms has no key agreement with X25519 (RFC 8418)"
_OPENSSL_KEM = "openssl cms has KEMRecipientInfo (RFC 9629) since 3.6"
_NO_ML = r"unsupported|decode error|no matching recipient|operation not supported"
_OPENSSL: dict[Direction, Rules] = {
    "reads": (
        ("signed, *: Ed25519", learned("openssl 3.0 demands a digest of Ed25519", "invalid digest")),
        ("signed, *: ML-DSA-65", learned("openssl has ML-DSA since 3.5", "unspecified certificate verification error")),
        ("*X25519", refused(_OPENSSL_25519, "no matching recipient|missing key")),
        ("*ML-KEM-768", learned(_OPENSSL_KEM, _NO_ML, by=2)),
        ("compressed", learned("Debian 12 builds openssl without zlib", "unsupported compression algorithm")),
    ),
    "writes": (
        ("signed, *: Ed25519", learned("openssl 3.0 demands a digest of Ed25519", "no signature|invalid digest")),
        ("signed, *: ML-DSA-65", learned("openssl has ML-DSA since 3.5", "Could not read signing key")),
        (
            "*X25519",
            refused(
                _OPENSSL_25519,
                "operation not supported for this keytype|missing key|Error writing CMS output|recipientinfo",
            ),
        ),
        ("*ML-KEM-768", learned(_OPENSSL_KEM, _NO_ML, by=2)),
        ("compressed", learned("Debian 12 builds openssl without zlib", "unsupported compression algorithm")),
    ),
}

# ---- gpgsm

_GPGSM_IMPORT = "gpgsm 2.2 crashes when it is given a private key on a curve, so that it can neither sign nor decrypt"
_GPGSM_MAIL = "gpgsm has no command for it"
_CRASH = "Segmentation fault|ended with -11|signal"
_GPGSM_KEYS = "gpgsm takes no private key of this kind"
_NO_IMPORT = r"PKCS#12 file|unsupported"
_GPGSM_ECDH = "Invalid S-expression|Provided object is too short"
_GPGSM: dict[Direction, Rules] = {
    "reads": (
        ("signed, *: ECDSA P-521", learned("gpgsm 2.2 has no P-521 with SHA-512", "multiple of 8 bits")),
        ("signed, *: Ed25519", refused("gpgsm has no Ed25519 in CMS", "multiple of 8 bits")),
        ("signed, *: ML-DSA-65", refused("gpgsm has no ML-DSA", "no signature value available")),
        ("signed, *: *", OK),
        ("*ML-KEM-768", refused(_GPGSM_KEYS, _NO_IMPORT)),
        ("*X25519", refused(_GPGSM_KEYS, _NO_IMPORT)),
        ("AES-256-GCM: ECDH P-256", refused("gpgsm has no AuthEnvelopedData with GCM", f"Buffer too short|{_CRASH}")),
        ("*GCM*", refused("gpgsm has no AuthEnvelopedData with GCM", "error getting IV: Buffer too short")),
        ("*OAEP*", refused("gpgsm has no OAEP", "error getting encrypted session key")),
        ("*P-256*", learned(_GPGSM_IMPORT, _CRASH)),
        ("*ECDH*", learned(_GPGSM_IMPORT, _CRASH)),
        ("compressed", not_offered(_GPGSM_MAIL)),
    ),
    "writes": (
        ("signed, *: RSA PSS*", not_offered(_GPGSM_MAIL)),
        ("signed, *: ECDSA*", learned(_GPGSM_IMPORT, _CRASH)),
        ("signed, *: Ed25519", refused(_GPGSM_KEYS, _NO_IMPORT)),
        ("signed, *: ML-DSA-65", refused(_GPGSM_KEYS, _NO_IMPORT)),
        ("signed, *: *", OK),
        ("*GCM*", not_offered(_GPGSM_MAIL)),
        ("*OAEP*", not_offered(_GPGSM_MAIL)),
        ("nested*P-256", learned(_GPGSM_IMPORT, _CRASH)),
        (
            "*X25519",
            refused(
                "gpgsm writes X25519 in a form of its own (as id-ecPublicKey), not in that of RFC 8418 3.1; we refuse it",
                f"{_GPGSM_ECDH}|we: encrypted: unsupported",
            ),
        ),
        ("*ML-KEM-768", refused("gpgsm has no ML-KEM in CMS", "No public key")),
        ("*P-256*", learned("gpgsm 2.2 fails when it encrypts to a key on a curve", _GPGSM_ECDH)),
        ("*ECDH*", learned("gpgsm 2.2 fails when it encrypts to a key on a curve", _GPGSM_ECDH)),
        ("password*", not_offered(_GPGSM_MAIL)),
        ("compressed", not_offered(_GPGSM_MAIL)),
        ("certificates only", not_offered(_GPGSM_MAIL)),
    ),
}

# ---- NSS by cmsutil

_NSS_STATUS = "status=(ProcessingError|BadSignature|SigningCertNotTrusted)"
_NSS_KEYS = "NSS takes no private key of this kind, or has no use for it in CMS"
_NSS_IMPORT = (
    "SEC_ERROR_(PKCS12_UNABLE_TO_IMPORT_KEY|BAD_EXPORT_ALGORITHM|UNRECOGNIZED_OID|INVALID_ALGORITHM"
    "|INADEQUATE_KEY_USAGE)|unsupported"
)
_NSS_CHOOSES = "cmsutil chooses the padding and the cipher; what it chooses stands in the row of AES-256-CBC"
_NSS_GCM = "NSS has AuthEnvelopedData in versions after 3.110"
_NSS_EC = "NSS decrypts and encrypts with keys on curves since 3.100 (bugs 676118, 676100)"
_NSS_COMMAND = "cmsutil has no command for it"
_NSS: dict[Direction, Rules] = {
    "reads": (
        ("signed, *: Ed25519", refused("NSS has no Ed25519 in CMS", _NSS_STATUS)),
        ("signed, *: ML-DSA-65", refused("NSS has no ML-DSA in CMS", _NSS_STATUS)),
        ("*ML-KEM-768", refused(_NSS_KEYS, _NSS_IMPORT)),
        ("*X25519", refused(_NSS_KEYS, _NSS_IMPORT)),
        ("*GCM*", learned(_NSS_GCM, "SEC_ERROR_UNRECOGNIZED_OID", by=2)),
        ("*OAEP*", learned("NSS has OAEP in CMS since 3.100 (bug 215997)", "SEC_ERROR_UNSUPPORTED_KEYALG")),
        ("signed, *: *", OK),
        ("*P-256*", learned(_NSS_EC, "SEC_ERROR_BAD_DER")),
        ("*ECDH*", learned(_NSS_EC, "SEC_ERROR_BAD_DER")),
        ("compressed", not_offered(_NSS_COMMAND)),
        ("certificates only", not_offered(_NSS_COMMAND)),
    ),
    "writes": (
        ("signed, *: RSA PSS*", not_offered("cmsutil has no option for PSS")),
        ("signed, *: Ed25519", refused(_NSS_KEYS, _NSS_IMPORT)),
        ("signed, *: ML-DSA-65", refused(_NSS_KEYS, _NSS_IMPORT)),
        ("signed, *: *", OK),
        ("*OAEP*", not_offered(_NSS_CHOOSES)),
        ("AES-128*", not_offered(_NSS_CHOOSES)),
        ("*GCM*", not_offered(_NSS_CHOOSES)),
        ("3DES*", not_offered(_NSS_CHOOSES)),
        ("*ML-KEM-768", refused(_NSS_KEYS, _NSS_IMPORT)),
        ("*X25519", refused(_NSS_KEYS, _NSS_IMPORT)),
        ("*P-256*", learned(_NSS_EC, "SEC_ERROR_INVALID_ALGORITHM")),
        ("*ECDH*", learned(_NSS_EC, "SEC_ERROR_INVALID_ALGORITHM")),
        ("password*", not_offered(_NSS_COMMAND)),
        ("compressed", not_offered(_NSS_COMMAND)),
    ),
}

# ---- GnuTLS by certtool

_CERTTOOL = "GnuTLS has signatures and certificates only, no EnvelopedData"
_GNUTLS_ML = "GnuTLS 3.7 has no ML-DSA, and Debian builds 3.8 without the library for it"
_GNUTLS: dict[Direction, Rules] = {
    "reads": (
        ("signed, *: ML-DSA-65", refused(_GNUTLS_ML, r"available\)\n(\tSignature status: verification failed|$)")),
        ("signed, *: *", OK),
        ("certificates only", OK),
        ("*", not_offered(_CERTTOOL)),
    ),
    "writes": (
        ("signed, *: RSA PSS*", not_offered("certtool has no option for PSS in messages")),
        (
            "signed, *: ML-DSA-65",
            refused(_GNUTLS_ML, "error loading file at --load-privkey"),
        ),
        ("signed, *: *", OK),
        ("certificates only", OK),
        ("*", not_offered(_CERTTOOL)),
    ),
}

# ---- BouncyCastle

_BC_25519 = "BouncyCastle 1.80 has no X25519 in CMS (RFC 8418) yet"
_BC_AGREEMENT = r"no such algorithm: 1\.2\.840\.113549\.1\.9\.16\.3\.19|Unknown key agreement algorithm"
_BC_ML = "BouncyCastle 1.72 has no final ML-DSA and ML-KEM yet"
_NO_CLASS = "ClassNotFoundException|Unknown signature type|unknown kind"
_BOUNCYCASTLE: dict[Direction, Rules] = {
    direction: (
        ("signed, *: ML-DSA-65", learned(_BC_ML, _NO_CLASS)),
        ("*ML-KEM-768", learned(_BC_ML, _NO_CLASS)),
        ("*X25519", learned(_BC_25519, _BC_AGREEMENT, by=2)),
    )
    for direction in DIRECTIONS
}

# ---- PKI.js

_PKIJS_UKM = "PKI.js puts an empty ukm into the key derivation where there is none (PeculiarVentures/PKI.js#335)"
_PKIJS_RSA = "Web Cryptography has no encryption with RSA v1.5"
_PKIJS_GCM = "PKI.js has no AuthEnvelopedData"
_PKIJS: dict[Direction, Rules] = {
    "reads": (
        ("signed, *: Ed25519", refused("PKI.js has no Ed25519 in CMS", "Unsupported signature algorithm: 1.3.101.112")),
        (
            "signed, *: ML-DSA-65",
            refused("PKI.js has no ML-DSA", "Unsupported signature algorithm: 2.16.840.1.101.3.4.3.18"),
        ),
        ("signed, *: *", OK),
        ("*GCM*", refused(_PKIJS_GCM, _PKIJS_GCM)),
        ("*ML-KEM-768", refused("PKI.js has no KEMRecipientInfo", "no recipient info")),
        ("*X25519", refused("PKI.js has no X25519", "Cannot read properties of undefined")),
        ("*RSA v1.5", refused(_PKIJS_RSA, "NotSupportedError")),
        ("*P-256*", refused(_PKIJS_UKM, "OperationError")),
        ("*ECDH*", refused(_PKIJS_UKM, "OperationError")),
        ("compressed", refused("PKI.js has no CompressedData", "PKI.js has no CompressedData")),
    ),
    "writes": (
        ("signed, *: Ed25519", refused("PKI.js has no Ed25519 in CMS", "Parameter 'algorithm' is empty")),
        ("signed, *: ML-DSA-65", refused("PKI.js has no ML-DSA", "no ml-dsa-65")),
        ("signed, *: *", OK),
        ("*GCM*", refused(_PKIJS_GCM, _PKIJS_GCM)),
        ("*ML-KEM-768", refused("PKI.js has no KEMRecipientInfo", "Unknown type of certificate's public key")),
        ("*X25519", refused("PKI.js has no X25519", "Unknown type of certificate's public key")),
        ("3DES*", refused("Web Cryptography has no 3DES", "Web Cryptography has no 3des-cbc")),
        ("*RSA v1.5*", refused(_PKIJS_RSA, "NotSupportedError")),
        ("compressed", refused("PKI.js has no CompressedData", "PKI.js has no CompressedData")),
    ),
}

RULES: dict[str, dict[Direction, Rules]] = {
    "openssl": _OPENSSL,
    "gpgsm": _GPGSM,
    "NSS": _NSS,
    "GnuTLS": _GNUTLS,
    "BouncyCastle": _BOUNCYCASTLE,
    "PKI.js": _PKIJS,
}


def cell(peer: str, direction: Direction, form: Form) -> Cell:
    """What is expected of the peer."""
    if direction == "reads" and form.name in NOT_WRITTEN:
        return not_offered(NOT_WRITTEN[form.name])
    return next((found for pattern, found in RULES[peer][direction] if fnmatchcase(form.name, pattern)), OK)


def branch(version: str) -> tuple[int, ...]:
    """The first two numbers of a version: what decides on what a peer can."""
    return tuple(int(each) for each in version.split(".")[:2])


def states(peer: str, version: str, found: Cell) -> frozenset[State]:
    """Which of ok and refused are right with this version of the peer."""
    tried = [branch(each) for each in TRIED[peer]]
    now = branch(version)
    if found.state == "learned":
        if now <= tried[found.by - 1]:
            return frozenset({"refused"})
        return frozenset({"ok"} if now >= tried[found.by] else {"ok", "refused"})
    if found.state == "refused" and now > tried[-1] and peer not in PINNED:
        return frozenset({"ok", "refused"})
    return frozenset({found.state})
