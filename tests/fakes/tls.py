"""Certificates for TLS tests in PEM files: a server's, a client's, and their authority's."""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509 import DNSName, SubjectAlternativeName

from tests.fakes.authority import Authority, Identity


class Certificates:
    """``server``, ``client``: certificate and key in one file; ``authority``: who issued both. ``name``: the server's."""

    def __init__(self, folder: Path, name: str = "mx.test", client: str = "client.test") -> None:
        self.issuer = Authority.create("Test TLS CA")
        self.authority = folder / "authority.pem"
        self.authority.write_bytes(self.issuer.pem)
        self.server = self._issue(folder / "server.pem", name, "server")
        self.client = self._issue(folder / "client.pem", client, "client")

    def _issue(self, path: Path, name: str, purpose: str) -> Path:
        alternative: tuple[x509.ExtensionType, bool] = (SubjectAlternativeName([DNSName(name)]), False)
        made: Identity = self.issuer.issue(
            (), "p256", name=name, purposes=(purpose,), usage=("digital_signature",), extensions=(alternative,)
        )
        path.write_bytes(made.pem + made.key_pem)
        return path

    def client_context(self, *, certificate: bool = False) -> ssl.SSLContext:
        """Verifies the server; with the client's own certificate or without."""
        context = ssl.create_default_context(cafile=str(self.authority))
        if certificate:
            context.load_cert_chain(str(self.client))
        return context

    def server_context(self) -> ssl.SSLContext:
        """For a test server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.server))
        return context
