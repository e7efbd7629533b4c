"""The closed list of verdicts on a layer, each an error with its public sentence.

States
    A verdict is "ok" or the ``verdict`` of one of the classes below; the words are stable, interfaces rely on them.

Guarantees
    Every way in which decryption can fail after a key of ours was addressed is one DecryptionFailed with one sentence:
    which one it was would be an oracle (RFC 3218 2, EFAIL).
    ``Weak`` carries the signer: mathematics agree, but the algorithm proves nothing any more.

See also
    ``verify.py`` raises those about signatures as far as octets can tell; Untrusted, Expired and those about revocation
    are said by the caller that asked ``pki`` about the path.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, ClassVar

from letterlock.errors import PermanentError

if TYPE_CHECKING:
    from letterlock.smime.verify import Signer


class SmimeError(PermanentError):
    """The S/MIME layer cannot be used."""

    verdict: ClassVar[str] = ""


class Malformed(SmimeError):
    """The S/MIME structure is damaged."""

    verdict = "malformed"


class Unsupported(SmimeError):
    """The S/MIME layer uses an algorithm or a form that is not supported."""

    verdict = "unsupported"


class TooDeep(SmimeError):
    """The message has too many layers, or grows too much when they are removed."""

    verdict = "too-deep"


class NotForUs(SmimeError):
    """The message is not encrypted to a certificate whose key is here."""

    verdict = "not-for-us"


class DecryptionFailed(SmimeError):
    """The message could not be decrypted."""

    verdict = "decryption-failed"


class BadSignature(SmimeError):
    """The signature does not match the content."""

    verdict = "bad-signature"


class NoCertificate(SmimeError):
    """The signer's certificate is not in the message and not known."""

    verdict = "no-certificate"


class Weak(SmimeError):
    """The signature uses an algorithm or a key that is too weak to prove anything."""

    verdict = "weak"

    def __init__(self, signer: Signer) -> None:
        """``signer``: who signed, as far as such a signature can tell."""
        super().__init__(detail=", ".join(signer.weak))
        self.signer = signer


class AddressMismatch(SmimeError):
    """The signer's certificate is not for the author in the From field."""

    verdict = "address-mismatch"


class NotCovered(SmimeError):
    """Only a part of the message is signed or encrypted; it was left as it is."""

    verdict = "not-covered"


class Untrusted(SmimeError):
    """The signer's certificate is not trusted."""

    verdict = "untrusted"


class Expired(SmimeError):
    """The signer's certificate was not valid at the time."""

    verdict = "expired"


class Revoked(SmimeError):
    """The signer's certificate is revoked."""

    verdict = "revoked"


class RevocationUnknown(SmimeError):
    """It is not known whether the signer's certificate is revoked."""

    verdict = "revocation-unknown"


OK = "ok"
_KINDS: tuple[type[SmimeError], ...] = (
    Malformed,
    Unsupported,
    TooDeep,
    NotForUs,
    DecryptionFailed,
    BadSignature,
    NoCertificate,
    Weak,
    AddressMismatch,
    NotCovered,
    Untrusted,
    Expired,
    Revoked,
    RevocationUnknown,
)
VERDICTS: tuple[str, ...] = (OK, *(kind.verdict for kind in _KINDS))
"""All verdicts, "ok" first."""
SENTENCES: dict[str, str] = {
    OK: "All is well.",
    **{kind.verdict: inspect.cleandoc(kind.__doc__ or "") for kind in _KINDS},
}
"""The public sentence of each verdict."""
