"""``openssl cms``: reads and writes whole messages of mail.

See also
    ``tests/interop/test_cms_matrix.py`` for more of its options: BER, key identifiers, derivations.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.fakes.authority import Identity
from tests.fakes.people import authority
from tests.interop.forms import ENTITY, PASSWORD, Form, everybody
from tests.interop.peers.peer import Refused, numbers, program, run
from tests.interop.reading import cms_of, in_mail


class OpenSSL:
    """``openssl cms`` with files in a folder. Its mail is written with CRLF, as it would arrive."""

    name = "openssl"
    chooses_cipher = False

    def __init__(self) -> None:
        self._program = program("openssl", "openssl")
        self._folder = tempfile.TemporaryDirectory(prefix="ll-openssl-")
        self._anchor = Path(self._folder.name) / "anchor.pem"
        self._anchor.write_bytes(authority().pem)
        self._file: dict[bytes, str] = {}
        for number, who in enumerate(everybody()):
            path = Path(self._folder.name) / f"{number}.pem"
            path.write_bytes(who.pem + who.key_pem)
            self._file[who.der] = str(path)

    def close(self) -> None:
        self._folder.cleanup()

    def version(self) -> str:
        return numbers(run([self._program, "version"]))

    def _cms(self, *options: str, octets: bytes) -> bytes:
        return run([self._program, "cms", *options], octets)

    # ---- ours

    def reads(self, form: Form, mail: bytes) -> list[bytes]:
        if form.kind in ("detached", "opaque"):
            return [self._verified(mail)]
        if form.kind == "compressed":
            return [self._cms("-uncompress", octets=mail)]
        if form.kind == "certificates":  # openssl cms wants a signer
            pem = run([self._program, "pkcs7", "-inform", "DER", "-print_certs"], cms_of(mail))
            return sorted(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem))
        opened = [self._cms("-decrypt", "-recip", self._file[who.der], octets=mail) for who in form.people]
        return [self._verified(each) for each in opened] if form.kind == "nested" else opened

    def _verified(self, mail: bytes) -> bytes:
        return self._cms("-verify", "-CAfile", str(self._anchor), "-purpose", "smimesign", octets=mail)

    # ---- theirs

    def writes(self, form: Form) -> bytes:
        if form.kind in ("detached", "opaque"):
            return self._signed(form.signers[0], form.algorithm, *(["-nodetach"] if form.kind == "opaque" else []))
        if form.kind == "password":
            return self._cms("-encrypt", "-crlfeol", "-pwri_password", PASSWORD, _cipher(form.cipher), octets=ENTITY)
        if form.kind == "compressed":
            return self._cms("-compress", "-crlfeol", octets=ENTITY)
        if form.kind == "certificates":
            files = [word for who in form.people for word in ("-certfile", self._file[who.der])]
            return in_mail(run([self._program, "crl2pkcs7", "-nocrl", "-outform", "DER", *files]), form)
        content = self._signed(form.signers[0], "") if form.kind == "nested" else ENTITY
        recipients = [word for who in form.people for word in self._recipient(who, form)]
        return self._cms("-encrypt", "-crlfeol", _cipher(form.cipher), *recipients, octets=content)

    def _recipient(self, who: Identity, form: Form) -> list[str]:
        oaep = form.padding == "oaep" and isinstance(who.key, rsa.RSAPrivateKey)
        options = ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"] if oaep else []
        return ["-recip", self._file[who.der], *options]

    def _signed(self, who: Identity, algorithm: str, *options: str) -> bytes:
        digest = algorithm.rpartition("-")[2] if "sha" in algorithm else "sha512"
        if "pss" in algorithm:
            options = (*options, "-keyopt", "rsa_padding_mode:pss")
        mail = self._cms("-sign", "-crlfeol", "-signer", self._file[who.der], "-md", digest, *options, octets=ENTITY)
        if algorithm and not cms_of(mail):  # 3.0 fails with Ed25519 and ends with 0
            raise Refused("openssl wrote no signature")
        return mail


def _cipher(name: str) -> str:
    return {"3des-cbc": "-des3"}.get(name, f"-{name.replace('aes', 'aes-')}")
