"""What S/MIME asks of a certificate and of those above it, besides a path: usage, purpose, strength.

Guarantees
    Pure rules on one certificate or path; each broken one is given as its Reason.

Standards
    RFC 8550 4.4.2 (key usage), 4.4.4 (extended key usage), RFC 8551 4.1 and 4.4 (strength).
"""

from __future__ import annotations

from letterlock.config import approved
from letterlock.pki.certificate import ANY_PURPOSE, EMAIL_PROTECTION, Certificate
from letterlock.pki.chains import Path
from letterlock.pki.reasons import Purpose, Reason

MIN_RSA_BITS = 2048
_BROKEN = ("md2", "md4", "md5", "sha1", "unknown")


def own_faults(certificate: Certificate, purpose: Purpose) -> list[Reason]:
    """What the certificate itself lacks for the purpose."""
    found: list[Reason] = []
    kind, usage = certificate.key_kind, certificate.key_usage
    if purpose == "any":
        return found
    if purpose == "sign":
        wanted = {"digital_signature", "content_commitment"}
        supported = kind in ("rsa", "rsa-pss", "ec", "ed25519", "ml-dsa")
    else:
        agrees = kind in ("ec", "x25519")
        wanted = {"key_agreement"} if agrees else {"key_encipherment"}
        supported = agrees or kind in ("rsa", "ml-kem")
    if not supported or not _is_approved(certificate):
        found.append(Reason.UNSUPPORTED_KEY)
    if usage is not None and not usage & wanted:
        found.append(Reason.KEY_USAGE)
    if not _for_email(certificate):
        found.append(Reason.PURPOSE)
    if certificate.digest in _BROKEN:
        found.append(Reason.WEAK_DIGEST)
    if _weak(certificate):
        found.append(Reason.WEAK_KEY)
    return found


def path_faults(path: Path, purpose: Purpose) -> list[Reason]:
    """What those above the certificate lack; the signature on an anchor says nothing, so its digest does not count."""
    if purpose == "any":
        return []
    found: list[Reason] = []
    if any(_weak(each) for each in path[1:]):
        found.append(Reason.WEAK_KEY)
    if not all(map(_is_approved, path[1:])):
        found.append(Reason.UNSUPPORTED_KEY)
    above = path[1:-1]
    if any(each.digest in _BROKEN for each in above):
        found.append(Reason.WEAK_DIGEST)
    # A purpose in an intermediate limits what it may issue for: not RFC 5280, but the practice of every root program.
    if not all(_for_email(each) for each in above):
        found.append(Reason.PURPOSE)
    return found


def _for_email(certificate: Certificate) -> bool:
    return certificate.purposes is None or bool(certificate.purposes & {EMAIL_PROTECTION, ANY_PURPOSE})


def _is_approved(certificate: Certificate) -> bool:
    if certificate.key_kind == "ec" and not approved.permits("curve", certificate.curve):
        return False
    return approved.permits("certificate key", certificate.key_kind)


def _weak(certificate: Certificate) -> bool:
    return certificate.key_kind in ("rsa", "rsa-pss", "dsa") and certificate.key_bits < MIN_RSA_BITS
