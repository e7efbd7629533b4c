"""Whether OpenSSL's FIPS provider is at work. There are two OpenSSLs in a process, and both are asked.

Guarantees
    ``require`` returns only when both say so and behave so: something approved works, something that is not is refused.
    A configuration may set the property "fips=yes" without any such provider; then OpenSSL says yes, and nothing works.
    That the provider is a validated module, unmodified and run as its security policy wants, is the administrator's to
    know.

Standards
    fips_module(7), property(7): is_fips_enabled and get_fips_mode read the default property query.

Raises
    ProviderMissing.

See also
    ``config/approved.py`` (the list of algorithms), docs/fips.md.
"""

from __future__ import annotations

import _hashlib
import ssl
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from letterlock.config.approved_tls import python_has_provider
from letterlock.config.settings import Settings
from letterlock.errors import UsageError

_KEY, _NONCE = bytes(range(32)), bytes(12)


class ProviderMissing(UsageError):
    """fips_provider is required, and OpenSSL reports no active FIPS provider."""


class Library(NamedTuple):
    """One OpenSSL. ``use``: what is done with it; ``active``: its FIPS provider is at work, as far as can be told."""

    use: str
    version: str
    active: bool


def libraries() -> tuple[Library, ...]:
    """The OpenSSLs in this process."""
    return (
        Library("mail, certificates and storage", openssl.openssl_version_text(), _of_cryptography()),
        Library("TLS and digests", ssl.OPENSSL_VERSION, _of_python()),
    )


def _of_cryptography() -> bool:
    return (
        openssl.is_fips_enabled()
        and _works(lambda: AESGCM(_KEY).encrypt(_NONCE, b"x", None))
        and not _works(lambda: ChaCha20Poly1305(_KEY).encrypt(_NONCE, b"x", None))
    )


def _of_python() -> bool:
    # hashlib itself would fall back to digests of its own
    return (
        python_has_provider()
        and _works(lambda: _hashlib.new("sha256", b"x"))
        and not _works(lambda: _hashlib.new("md5"))
    )


def _works(operation: Callable[[], object]) -> bool:
    try:
        operation()
    except Exception:  # whatever OpenSSL raises: it does not do it
        return False
    return True


def require(settings: Settings) -> None:
    """Raises ProviderMissing where the settings demand a provider that is not there."""
    if settings.run.crypto_profile != "fips" or settings.run.fips_provider != "required":
        return
    without = [f"{each.version} ({each.use})" for each in libraries() if not each.active]
    if without:
        raise ProviderMissing(
            "crypto_profile is fips and fips_provider is required, but no active FIPS provider is reported by "
            f'{" and ".join(without)}; install one, or set fips_provider = "not required" (docs/fips.md).'
        )
