"""GnuTLS by ``certtool --p7-...``: signatures and certificates only; it has no EnvelopedData. It reads DER, no mail."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.fakes.people import authority
from tests.interop.forms import ENTITY, Form
from tests.interop.peers.peer import NotOffered, Refused, numbers, program, run
from tests.interop.reading import cms_of, content_of, in_mail


class GnuTls:
    """certtool with files in a folder."""

    name = "GnuTLS"
    chooses_cipher = False

    def __init__(self) -> None:
        self._program = program("certtool", "gnutls-bin")
        self._folder = tempfile.TemporaryDirectory(prefix="ll-gnutls-")

    def close(self) -> None:
        self._folder.cleanup()

    def version(self) -> str:
        return numbers(run([self._program, "--version"]))

    def _file(self, name: str, octets: bytes) -> str:
        path = Path(self._folder.name) / name
        path.write_bytes(octets)
        return str(path)

    def reads(self, form: Form, mail: bytes) -> list[bytes]:
        cms = self._file("cms", cms_of(mail))
        if form.kind == "certificates":
            shown = run([self._program, "--p7-info", "--inder", "--infile", cms])
            return sorted(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(shown))
        if form.kind not in ("detached", "opaque"):
            raise NotOffered
        anchor = self._file("anchor", authority().pem)
        verify = [self._program, "--p7-verify", "--inder", "--infile", cms, "--load-ca-certificate", anchor]
        if form.kind == "detached":
            content = content_of(mail)
            verify += ["--load-data", self._file("content", content)]
        else:
            content = run([self._program, "--p7-info", "--p7-show-data", "--inder", "--infile", cms])
        run(verify)
        return [content]

    def writes(self, form: Form) -> bytes:
        if form.kind == "certificates":
            people = self._file("people", b"".join(who.pem for who in form.people))
            return in_mail(run([self._program, "--p7-generate", "--load-certificate", people, "--outder"]), form)
        if form.kind not in ("detached", "opaque") or "pss" in form.algorithm:
            raise NotOffered
        (who,) = form.signers
        how = "--p7-sign" if form.kind == "opaque" else "--p7-detached-sign"
        key, certificate = self._file("key", who.key_pem), self._file("certificate", who.pem)
        command = [
            self._program,
            how,
            "--load-privkey",
            key,
            "--load-certificate",
            certificate,
            "--p7-time",
            "--outder",
        ]
        digest = form.algorithm.rpartition("-")[2]
        command += ["--hash", digest] if digest.startswith("sha") else []
        made = run([*command, "--infile", self._file("entity", ENTITY)])
        if not made:
            raise Refused("certtool wrote nothing")
        return in_mail(made, form)
