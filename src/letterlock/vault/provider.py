"""Whether OpenSSL says that its FIPS provider is at work. There are two OpenSSLs in a process, and both are asked.

Guarantees
    ``require`` returns only when both say so. What they say is all that is known here: that the provider is a validated
    module, unmodified and run as its security policy wants, is the administrator's to know.

Standards
    fips_module(7); OpenSSL's default property query "fips=yes" is what is_fips_enabled and get_fips_mode read.

Raises
    ProviderMissing.

See also
    ``config/approved.py`` (the list of algorithms), docs/fips.md.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple

from cryptography.hazmat.bindings._rust import openssl

from letterlock.config.approved_tls import python_has_provider
from letterlock.config.settings import Settings
from letterlock.errors import UsageError


class ProviderMissing(UsageError):
    """fips_provider is required, and OpenSSL reports no active FIPS provider."""


class Library(NamedTuple):
    """One OpenSSL. ``use``: what is done with it; ``active``: it says that its FIPS provider is at work."""

    use: str
    version: str
    active: bool


def libraries() -> tuple[Library, ...]:
    """The OpenSSLs in this process."""
    return (
        Library("mail, certificates and storage", openssl.openssl_version_text(), openssl.is_fips_enabled()),
        Library("TLS and digests", ssl.OPENSSL_VERSION, python_has_provider()),
    )


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
