"""gpgsm: reads and writes CMS objects, no mail; what it writes is BER."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.fakes.authority import Identity
from tests.fakes.people import authority
from tests.interop import cms_peers
from tests.interop.forms import ENTITY, Form
from tests.interop.peers.peer import NotOffered, Refused, numbers, program, run
from tests.interop.reading import cms_of, content_of, in_mail


class Gpgsm:
    """gpgsm with an agent of its own. Keys are brought in when they are first needed: each takes a while."""

    name = "gpgsm"
    chooses_cipher = False

    def __init__(self) -> None:
        self._program = program("gpgsm", "gpgsm")
        program("gpg-agent", "gpg-agent")
        self._ends = contextlib.ExitStack()
        home = self._ends.enter_context(
            tempfile.TemporaryDirectory(prefix="ll-gpgsm-")
        )  # short: its socket stands there
        self._home = Path(home)
        self._peer = self._ends.enter_context(cms_peers.gpgsm(self._home, authority(), ()))
        self._imported: dict[bytes, str] = {}

    def close(self) -> None:
        self._ends.close()

    def version(self) -> str:
        return numbers(run([self._program, "--version"]))

    def _import(self, who: Identity) -> str:
        """Certificate and key. The way it is called. Raises Refused."""
        if who.der not in self._imported:
            try:
                self._peer.imports(who)
            except cms_peers.Refused as refused:
                self._imported[who.der] = str(refused)
            else:
                self._imported[who.der] = ""
        if self._imported[who.der]:
            raise Refused(self._imported[who.der])
        return _name(who)

    def _knows(self, who: Identity) -> str:
        """The certificate alone. The way it is called."""
        self._peer.learns(who)
        return _name(who)

    # ---- ours

    def reads(self, form: Form, mail: bytes) -> list[bytes]:
        if form.kind == "compressed":
            raise NotOffered
        try:
            return self._read(form, mail)
        except cms_peers.Refused as refused:
            raise Refused(str(refused)) from refused

    def _read(self, form: Form, mail: bytes) -> list[bytes]:
        cms = cms_of(mail)
        if form.kind == "detached":
            self._peer.verifies(cms, content_of(mail))
            return [content_of(mail)]
        if form.kind == "opaque":
            return [self._peer.opens_signed(cms)]
        if form.kind == "certificates":
            return self._certificates(cms, form.people)
        found = []
        for who in form.people:
            self._import(who)
        for _ in form.people:
            opened = self._peer.decrypts(cms)
            if form.kind == "nested":
                self._peer.verifies(cms_of(opened), content_of(opened))
                opened = content_of(opened)
            found.append(opened)
        return found

    def _certificates(self, cms: bytes, people: tuple[Identity, ...]) -> list[bytes]:
        """In a home of its own, where it finds nothing else."""
        with tempfile.TemporaryDirectory(prefix="ll-gpgsm-") as home:
            environment = {"GNUPGHOME": home, "LC_ALL": "C"}
            run([self._program, "--batch", "--disable-dirmngr", "--import"], cms, environment, b"imported: ")
            pem = run([self._program, "--batch", "--armor", "--export"], b"", environment)
        return sorted(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem))

    # ---- theirs

    def writes(self, form: Form) -> bytes:
        if form.kind in ("password", "compressed", "certificates") or form.cipher.endswith("gcm"):
            raise NotOffered
        if "pss" in form.algorithm or form.padding == "oaep":
            raise NotOffered
        try:
            return in_mail(self._written(form), form)
        except cms_peers.Refused as refused:
            raise Refused(str(refused)) from refused

    def _written(self, form: Form) -> bytes:
        if form.kind in ("detached", "opaque"):
            return self._signed(form, form.kind)
        content = ENTITY
        if form.kind == "nested":
            content = in_mail(self._signed(form, "detached"), form, "detached")
        first, *others = [self._knows(who) for who in form.people]
        cipher = {"aes128-cbc": "AES", "aes256-cbc": "AES256", "3des-cbc": "3DES"}[form.cipher]
        more = [word for name in others for word in ("--recipient", name)]
        return self._peer.encrypts(content, first, *more, "--cipher-algo", cipher)

    def _signed(self, form: Form, how: str) -> bytes:
        digest = (form.algorithm or "sha256").rpartition("-")[2].upper()
        options = ["--detach"] if how == "detached" else []
        options += ["--digest-algo", digest] if digest.startswith("SHA") else []
        return self._peer.signs(ENTITY, self._import(form.signers[0]), *options)


def _name(who: Identity) -> str:
    """The address, which is the common name too."""
    return who.certificate.subject.rfc4514_string().removeprefix("CN=")
