"""TLS with approved algorithms only, as far as Python can choose them.

Guarantees
    Under fips: TLS 1.2 with ECDHE on P-256 and AES-GCM. Python before 3.15 cannot choose the cipher suites of TLS 1.3, which
    may end in ChaCha20; so TLS 1.3 is left out, unless OpenSSL's FIPS provider is at work, which has no others.

Standards
    SP 800-52 r2 3.3 (cipher suites), RFC 5289 (ECDHE with AES-GCM).

See also
    ``approved.py`` (the table).
"""

from __future__ import annotations

import ssl

from letterlock.config import approved


def restrict(context: ssl.SSLContext, *, has_provider: bool | None = None) -> ssl.SSLContext:
    """The context, narrowed to what is permitted. ``has_provider``: asked of OpenSSL when None."""
    if approved.permits("TLS", "ChaCha20-Poly1305"):
        return context
    context.set_ciphers("ECDHE+AESGCM")
    context.set_ecdh_curve("prime256v1")
    if not (python_has_provider() if has_provider is None else has_provider):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def python_has_provider() -> bool:
    """Does the OpenSSL of Python's own ssl and hashlib use its FIPS provider for everything?"""
    import _hashlib

    return bool(_hashlib.get_fips_mode())
