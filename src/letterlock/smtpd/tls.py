"""The server's certificate and TLS settings, and what a client proved by its own certificate.

Guarantees
    Nothing below TLS 1.2. A renewed certificate file is used for the next handshake without a restart; a broken one is
    logged and the old one kept. With a broken one at the start there is no start, rather than a service without TLS.
    A client certificate counts only when its chain was verified in the handshake.

Standards
    RFC 3207 (STARTTLS), RFC 8314 3.3 (implicit TLS), RFC 8446, RFC 9325 3.1 (versions), RFC 5280 4.2.1.6 (names).

Raises
    CertificateUnusable, by ``ServerTls.load`` only.

See also
    ``access.py`` for what a certificate allows.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letterlock.config import approved_tls
from letterlock.errors import UsageError

_log = logging.getLogger("letterlock.smtpd.tls")

LOOK_SECONDS = 10.0
"""How often the files are looked at for a change."""


class CertificateUnusable(UsageError):
    """The server's certificate cannot be used."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A verified client certificate. ``names``: DNS names, addresses and ``sha256:<hex>``, in lower case."""

    subject: str
    names: frozenset[str]


class ServerTls:
    """The TLS context of the listener, made again when its files change. Without a certificate there is none."""

    def __init__(self, certificate: str, key: str, clients: str = "") -> None:
        """PEM files. ``key`` may be "" when ``certificate`` holds it; ``clients``: CAs of client certificates."""
        self._files = (certificate, key or certificate, clients)
        self._context: ssl.SSLContext | None = None
        self._seen: tuple[object, ...] = ()
        self._looked_at = float("-inf")

    def load(self) -> None:
        """Load the files now, so that a wrong one is known at the start. Raises CertificateUnusable."""
        certificate, key, clients = self._files
        if not certificate:
            return
        for setting, name in (("certificate", certificate), ("key", key), ("client_ca", clients)):
            try:
                if name:
                    Path(name).read_bytes()
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "it is no path"
                raise CertificateUnusable(f"[smtp] {setting} is {name}, which cannot be read: {why}.") from None
        try:
            self._load()
        except (OSError, ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or "not PEM"
            beside = "" if key == certificate else f" with the key {key}"
            raise CertificateUnusable(
                f"[smtp] certificate is {certificate}, which cannot be used{beside}: {why}."
            ) from None

    def context(self, now: float) -> ssl.SSLContext | None:
        """The context for a handshake at ``now`` (seconds of the event loop's clock); None: no TLS here."""
        if self._files[0] and now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()
        return self._context

    def _look(self) -> None:
        try:
            self._load()
        except (OSError, ssl.SSLError, ValueError) as error:
            _log.error("certificate not loaded: %s", type(error).__name__)

    def _load(self) -> None:
        seen = tuple((stat.st_mtime_ns, stat.st_ino) for stat in (Path(name).stat() for name in self._files if name))
        if seen != self._seen:
            self._context = _context(*self._files)
            self._seen = seen


def _context(certificate: str, key: str, clients: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    approved_tls.restrict(context)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(certificate, key, password=lambda: b"")  # never ask the terminal for one
    if clients:  # asked for, not demanded: whoever has none may still send to our own domains
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a single client's certificate may stand in the file
    return context


def describe(connection: ssl.SSLObject) -> tuple[str, Certificate | None]:
    """Version and cipher ("TLSv1.3 TLS_AES_256_GCM_SHA384"), and the client's verified certificate."""
    cipher = connection.cipher()
    text = f"{connection.version()} {cipher[0]}" if cipher else str(connection.version())
    return text, _certificate(connection)


def _certificate(connection: ssl.SSLObject) -> Certificate | None:
    verified: dict[str, Any] | None = connection.getpeercert()  # empty unless the chain was verified
    octets = connection.getpeercert(binary_form=True)
    if not verified or not octets:
        return None
    names = {f"sha256:{hashlib.sha256(octets).hexdigest()}"}
    alternatives = verified.get("subjectAltName", ())
    names.update(str(value).lower() for kind, value in alternatives if kind in ("DNS", "email"))
    subject = [f"{kind}={value}" for part in verified.get("subject", ()) for kind, value in part]
    return Certificate(", ".join(subject), frozenset(names))
