"""BouncyCastle and PKI.js: libraries behind a small program of ours that answers questions.

See also
    ``Peer.java``, ``peer.mjs``: the programs. Both read CMS objects, no mail.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.fakes.people import authority
from tests.interop.forms import ENTITY, PASSWORD, Form
from tests.interop.peers.peer import Conversation, program
from tests.interop.reading import cms_of, content_of, in_mail

HERE = Path(__file__).parent
JARS = [Path("/usr/share/java") / f"{name}.jar" for name in ("bcprov", "bcutil", "bcpkix")]


class Library:
    """A library that a conversation is held with. ``signing``: its names of signature algorithms, by ours."""

    chooses_cipher = False

    def __init__(self, name: str, conversation: Conversation, signing: Mapping[str, str]) -> None:
        self.name = name
        self._conversation = conversation
        self._ask = conversation.ask
        self._signing = signing

    def version(self) -> str:
        return self._ask("version").decode()

    def close(self) -> None:
        self._conversation.close()

    def reads(self, form: Form, mail: bytes) -> list[bytes]:
        cms, anchor = cms_of(mail), authority().der
        if form.kind == "detached":
            return [self._ask("verify-detached", cms, content_of(mail), anchor)]
        if form.kind == "opaque":
            return [self._ask("verify-opaque", cms, anchor)]
        if form.kind == "compressed":
            return [self._ask("decompress", cms)]
        if form.kind == "certificates":
            return sorted(_certificates(self._ask("certificates", cms)))
        opened = [self._ask("decrypt", cms, who.der, who.pkcs8) for who in form.people]
        if form.kind == "nested":
            return [self._ask("verify-detached", cms_of(each), content_of(each), anchor) for each in opened]
        return opened

    def writes(self, form: Form) -> bytes:
        return in_mail(self._written(form), form)

    def _written(self, form: Form) -> bytes:
        people = [who.der for who in form.people]
        if form.kind in ("detached", "opaque"):
            return self._signed(form, form.kind, form.algorithm)
        if form.kind == "password":
            return self._ask("encrypt-with-password", form.cipher, ENTITY, PASSWORD.encode())
        if form.kind == "compressed":
            return self._ask("compress", ENTITY)
        if form.kind == "certificates":
            return self._ask("certificates-only", *people)
        content = ENTITY
        if form.kind == "nested":
            algorithm = "ecdsa-sha256" if form.keys[0] == "p256" else "rsa-pkcs1-sha256"
            content = in_mail(self._signed(form, "detached", algorithm), form, "detached")
        return self._ask("encrypt", form.cipher, form.padding, content, *people)

    def _signed(self, form: Form, how: str, algorithm: str) -> bytes:
        (who,) = form.signers
        return self._ask("sign", how, self._signing.get(algorithm, algorithm), who.der, who.pkcs8, ENTITY)


def _certificates(joined: bytes) -> list[bytes]:
    """Certificates that stand one behind the other, each a DER SEQUENCE of more than 255 octets."""
    found = []
    while joined:
        assert joined[:2] == b"\x30\x82"
        length = 4 + int.from_bytes(joined[2:4])
        found.append(x509.load_der_x509_certificate(joined[:length]).public_bytes(Encoding.DER))
        joined = joined[length:]
    return found


def bouncycastle() -> Library:
    """One Java machine that compiles Peer.java when it starts."""
    missing = [str(each) for each in JARS if not each.exists()]
    assert not missing, f"{missing} are missing: install libbcpkix-java (make test as root does)"
    java = program("java", "default-jdk-headless")
    tried = subprocess.run([java, "--list-modules"], capture_output=True, check=False, timeout=60).stdout
    assert b"jdk.compiler" in tried, "this Java cannot compile: install default-jdk-headless (make test as root does)"
    # One compiler thread less and no shared archive to write: the machine lives for a few seconds.
    command = [java, "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, JARS)), str(HERE / "Peer.java")]
    names = {
        "rsa-pkcs1-sha256": "SHA256withRSA", "rsa-pss-sha256": "SHA256withRSAandMGF1", "ecdsa-sha256": "SHA256withECDSA",
        "ecdsa-sha384": "SHA384withECDSA", "ecdsa-sha512": "SHA512withECDSA", "ed25519": "Ed25519",
        "ml-dsa-65": "ML-DSA-65",
    }  # fmt: skip
    return Library("BouncyCastle", Conversation(command), names)


def pkijs() -> Library:
    """One Node process; its packages are those of package-lock.json."""
    node = program("node", "nodejs")
    assert (HERE / "node_modules/pkijs").is_dir(), "tests/interop/peers/node_modules is missing: make test installs it"
    return Library("PKI.js", Conversation([node, str(HERE / "peer.mjs")]), {})
