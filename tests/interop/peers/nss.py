"""NSS by ``cmsutil``: the library of Thunderbird, with a small program in front. It reads CMS objects, no mail.

What is peculiar
    Everything stands in a certificate database, which ``certutil -N`` makes (here without a password), and keys come in
    by ``pk12util`` from PKCS #12. An anchor counts only with trust flags: ``C`` in the second of the three places, that
    of mail (``,C,``); without it every signature is "issuer not trusted". A certificate is called by its nickname,
    and all certificates of one subject share one: everybody here has another subject. ``cmsutil -E`` finds recipients
    by nickname or address among certificates valid for encryption, and it chooses the content cipher itself.

    ``cmsutil -D`` prints content without verifying, unless it is asked for the header lines (-h): there it says
    ``status=GoodSignature``, or what is wrong; its exit code says only whether it could parse.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.authority import Identity
from tests.fakes.people import authority
from tests.interop.forms import ENTITY, Form, everybody
from tests.interop.peers.peer import NotOffered, Refused, numbers, program, run
from tests.interop.reading import cms_of, content_of, in_mail

PASSWORD = "moving"


class Nss:
    """cmsutil over a database of its own."""

    name = "NSS"
    chooses_cipher = True

    def __init__(self, people: Sequence[Identity] | None = None) -> None:
        """``people``: whose keys it has; everybody's unless given."""
        self._folder = tempfile.TemporaryDirectory(prefix="ll-nss-")
        self._home = Path(self._folder.name)
        self._database = f"sql:{self._home}"
        run([self._tool("certutil"), "-N", "-d", self._database, "--empty-password"])
        anchor = ["-A", "-d", self._database, "-n", "anchor", "-t", ",C,"]
        run([self._tool("certutil"), *anchor], authority().pem)
        self._names: dict[bytes, str] = {}
        self._unknown: dict[bytes, str] = {}
        for who in everybody() if people is None else people:
            self._import(who)

    @staticmethod
    def _tool(name: str) -> str:
        return program(name, "libnss3-tools")

    def close(self) -> None:
        self._folder.cleanup()

    def version(self) -> str:
        """That of the library: the tools do not tell theirs."""
        asked = [program("dpkg-query", "dpkg"), "--showformat=${source:Upstream-Version}", "--show", "libnss3-tools"]
        return numbers(run(asked))

    def _import(self, who: Identity) -> None:
        """Certificate and key by PKCS #12 that openssl makes with old algorithms; a kind of key it cannot take is kept."""
        name = _nickname(who)
        self._names[who.der] = name
        moving = self._home / "moving.p12"
        pem = self._home / "moving.pem"
        pem.write_bytes(who.pem + who.key_pem)
        export = ["openssl", "pkcs12", "-export", "-legacy", "-name", name, "-passout", f"pass:{PASSWORD}"]
        try:
            moving.write_bytes(run([*export, "-in", str(pem)]))
            run([self._tool("pk12util"), "-d", self._database, "-i", str(moving), "-W", PASSWORD])
        except Refused as refused:
            self._unknown[who.der] = str(refused)

    def learns(self, who: Identity) -> None:
        """The certificate alone."""
        run([self._tool("certutil"), "-A", "-d", self._database, "-n", _nickname(who), "-t", ",,"], who.pem)

    def is_valid(self, nickname: str, usage: str) -> bool:
        """Is the certificate valid as ``certutil -V`` judges? ``usage``: S signs mail, R receives it."""
        try:
            told = run([self._tool("certutil"), "-V", "-d", self._database, "-n", nickname, "-u", usage])
        except Refused:
            return False
        return b"certificate is valid" in told

    def _known(self, who: Identity) -> str:
        """Its nickname. Raises Refused when it could not be imported."""
        if who.der in self._unknown:
            raise Refused(self._unknown[who.der])
        return self._names[who.der]

    def _cmsutil(self, *options: str, octets: bytes) -> bytes:
        work = self._home / "work"
        work.write_bytes(octets)
        return run([self._tool("cmsutil"), *options, "-d", self._database, "-i", str(work)])

    # ---- ours

    def reads(self, form: Form, mail: bytes) -> list[bytes]:
        if form.kind == "detached":
            return [self._verified(cms_of(mail), content_of(mail))]
        if form.kind == "opaque":
            return [self._verified(cms_of(mail))]
        if form.kind in ("compressed", "certificates"):
            raise NotOffered
        for who in form.people:
            self._known(who)
        # It takes the first recipient info for which it has a key, and tells not which.
        opened = self._cmsutil("-D", octets=cms_of(mail))
        if form.kind == "nested":
            return [self._verified(cms_of(opened), content_of(opened))]
        return [opened] * len(form.people)

    def _verified(self, cms: bytes, content: bytes | None = None) -> bytes:
        options = []
        if content is not None:
            beside = self._home / "content"
            beside.write_bytes(content)
            options = ["-c", str(beside)]
        told = self._cmsutil("-D", "-h", "1", "-n", *options, octets=cms)
        if b"signer.status=GoodSignature" not in told.replace(b"signer0.status", b"signer.status"):
            raise Refused(told.decode(errors="replace")[-600:])
        return content if content is not None else self._cmsutil("-D", octets=cms)

    # ---- theirs

    def writes(self, form: Form) -> bytes:
        if form.kind in ("detached", "opaque"):
            if form.algorithm.startswith("rsa-pss"):
                raise NotOffered
            return in_mail(self._signed(form), form)
        if form.kind == "certificates":
            return in_mail(
                self._cmsutil("-O", "-r", ",".join(self._known(who) for who in form.people), octets=b""), form
            )
        chosen = form.name.startswith(("AES-128", "3DES")) or form.cipher.endswith("gcm")
        if form.kind in ("password", "compressed") or form.padding == "oaep" or chosen:
            raise NotOffered
        content = ENTITY
        if form.kind == "nested":
            content = in_mail(self._signed(form), form, "detached")
        names = ",".join(self._known(who) for who in form.people)
        return in_mail(self._cmsutil("-E", "-r", names, octets=content), form)

    def _signed(self, form: Form) -> bytes:
        (who,) = form.signers
        name = form.algorithm or "sha256"
        digest = name.rpartition("-")[2].upper() if "sha" in name else "SHA512"
        options = [] if form.kind == "opaque" else ["-T"]
        return self._cmsutil("-S", "-N", self._known(who), "-G", "-P", "-H", digest, *options, octets=ENTITY)


def _nickname(who: Identity) -> str:
    """The address, which is the common name too."""
    return who.certificate.subject.rfc4514_string().removeprefix("CN=")
