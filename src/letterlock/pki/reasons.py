"""Why a certificate is not used: a closed list, and for each reason the sentence that people read.

Guarantees
    The words are stable: interfaces, settings pages and tests rely on them. Every reason has its sentence (tested).

See also
    ``path.py`` and ``select.py``, which give reasons; ``cli/pki.py``, which prints them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

Purpose = Literal["sign", "encrypt", "any"]
"""What a certificate is asked for. "any": the path alone (RFC 5280), without the rules of S/MIME."""


class Reason(StrEnum):
    """Why a certificate is not used."""

    MALFORMED = "malformed"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    UNTRUSTED = "untrusted"  # no chain to an anchor
    ISSUER_NOT_VALID = "issuer-not-valid"  # a certificate above is outside its validity
    BAD_SIGNATURE = "bad-signature"
    NOT_AN_AUTHORITY = "not-an-authority"  # cA, keyCertSign or path length of a certificate above
    NAME_CONSTRAINT = "name-constraint"
    POLICY = "policy"
    CRITICAL_EXTENSION = "unknown-critical-extension"
    NONCONFORMING = "nonconforming"  # breaks a MUST of RFC 5280 4 for issuers; asked only when strictness is
    INVALID_PATH = "invalid-path"  # OpenSSL's other errors
    KEY_USAGE = "key-usage"
    PURPOSE = "extended-key-usage"
    WEAK_KEY = "weak-key"
    WEAK_DIGEST = "weak-digest"
    UNSUPPORTED_KEY = "unsupported-key"
    REVOKED = "revoked"
    REVOCATION_UNKNOWN = "revocation-unknown"
    FORBIDDEN = "forbidden"
    ADDRESS = "address-mismatch"
    NO_KEY = "no-private-key"
    NOT_NEWEST = "not-newest"  # good for signing, but a newer one is used
    MALFORMED_CASE = "malformed-case"  # the question itself cannot be read
    TOO_COMPLEX = "too-complex"  # the child that judged it was ended for taking too much time or memory


SENTENCES: Final[dict[Reason, str]] = {
    Reason.MALFORMED: "The certificate cannot be read.",
    Reason.NOT_YET_VALID: "The certificate is not valid yet.",
    Reason.EXPIRED: "The certificate has expired.",
    Reason.UNTRUSTED: "No path leads from the certificate to an authority that is trusted here.",
    Reason.ISSUER_NOT_VALID: "A certificate above it has expired or is not valid yet.",
    Reason.BAD_SIGNATURE: "A signature on the path is wrong.",
    Reason.NOT_AN_AUTHORITY: "A certificate above it may not issue certificates, or not so deep.",
    Reason.NAME_CONSTRAINT: "An authority above it may not issue for this name or address.",
    Reason.POLICY: "The path fits none of the certificate policies asked for.",
    Reason.CRITICAL_EXTENSION: "A certificate holds a critical extension that is not known here.",
    Reason.NONCONFORMING: "A certificate breaks a rule of RFC 5280 for those who issue certificates.",
    Reason.INVALID_PATH: "The path is not valid.",
    Reason.KEY_USAGE: "The certificate's key usage does not allow this.",
    Reason.PURPOSE: "The certificate, or one above it, is not for email.",
    Reason.WEAK_KEY: "A key on the path is too short.",
    Reason.WEAK_DIGEST: "A signature on the path uses a digest that is no longer safe.",
    Reason.UNSUPPORTED_KEY: "The certificate's kind of key cannot be used for this.",
    Reason.REVOKED: "The certificate, or one above it, has been revoked.",
    Reason.REVOCATION_UNKNOWN: "It is not known whether the certificate, or one above it, has been revoked.",
    Reason.FORBIDDEN: "An administrator forbade the certificate, or one above it.",
    Reason.ADDRESS: "The certificate does not name the address.",
    Reason.NO_KEY: "Its private key is not held here.",
    Reason.NOT_NEWEST: "A newer certificate is used instead.",
    Reason.MALFORMED_CASE: "The case cannot be read.",
    Reason.TOO_COMPLEX: "Judging the certificate took too much time or memory, and was given up.",
}
