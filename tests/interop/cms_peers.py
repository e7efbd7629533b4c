"""The peers of the CMS matrix: ``openssl cms`` and gpgsm, each with every form it can read and write.

Raises
    Refused, with what the tool said.

See also
    ``tests/fakes/openssl.py``, the few forms that the stories use.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import hashes

from tests.fakes.authority import Authority, Identity

PASSPHRASE = "moving"


class Refused(AssertionError):
    """The tool refused."""


def run(
    arguments: Sequence[str], octets: bytes = b"", environment: dict[str, str] | None = None, well: bytes = b""
) -> bytes:
    """What the tool writes on standard output. ``well``: what it says on the other one when all is well, whatever
    its exit code is; gpgsm ends with 2 when there is a recipient it does not know beside one it does."""
    done = subprocess.run(
        arguments, input=octets, capture_output=True, check=False, timeout=60, env={**os.environ, **(environment or {})}
    )
    if done.returncode != 0 and not (well and well in done.stderr):
        raise Refused(f"{' '.join(arguments[:6])}: {done.stderr.decode(errors='replace')[-1500:]}")
    return done.stdout


class OpenSSL:
    """``openssl cms`` with files in a folder."""

    def __init__(self, folder: Path, authority: Authority, people: Sequence[Identity]) -> None:
        self._anchor = folder / "anchor.pem"
        self._anchor.write_bytes(authority.pem)
        self._file: dict[bytes, str] = {}
        for number, who in enumerate(people):
            path = folder / f"{number}.pem"
            path.write_bytes(who.pem + who.key_pem)
            self._file[who.der] = str(path)

    def of(self, who: Identity) -> str:
        """The file with certificate and key."""
        return self._file[who.der]

    def decrypts(self, message: bytes, who: Identity) -> bytes:
        """The content of an encrypted S/MIME message."""
        return run(["openssl", "cms", "-decrypt", "-recip", self.of(who)], message)

    def verifies(self, message: bytes) -> bytes:
        """What is signed in a signed S/MIME message, trusted for mail."""
        return run(["openssl", "cms", "-verify", "-CAfile", str(self._anchor), "-purpose", "smimesign"], message)

    def encrypts(self, content: bytes, who: Identity, *options: str) -> bytes:
        """DER, or BER with -stream among the options."""
        named = ["-recip", self.of(who)]
        return run(["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", *named, *options], content)

    def signs(self, content: bytes, who: Identity, *options: str) -> bytes:
        """DER, or BER with -stream among the options."""
        named = ["-signer", self.of(who)]
        return run(["openssl", "cms", "-sign", "-binary", "-outform", "DER", *named, *options], content)


class Gpgsm:
    """gpgsm with a home folder that trusts the anchor and holds the people's keys."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._environment = {"GNUPGHOME": str(home), "LC_ALL": "C"}

    def _run(self, *arguments: str, octets: bytes = b"", well: bytes = b"") -> bytes:
        work = self._home / "work"
        work.write_bytes(octets)
        asked = ["gpgsm", "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase-fd", "0"]
        files = [str(work) if each == "@" else each for each in arguments]
        return run([*asked, *files], f"{PASSPHRASE}\n".encode(), self._environment, well)

    def imports(self, who: Identity) -> None:
        """Certificate and key, by a PKCS#12 file with the old algorithms.

        One file in eighty, gpgsm decrypts wrongly and says that it is damaged (seen with 2.2.40 and 2.4.9): another salt
        helps."""
        pem = self._home / "moving.pem"
        pem.write_bytes(who.pem + who.key_pem)
        export = ["openssl", "pkcs12", "-export", "-legacy", "-in", str(pem), "-passout", f"pass:{PASSPHRASE}"]
        for left in reversed(range(4)):
            try:
                self._run("--import", "@", octets=run(export))
            except Refused as refused:
                if left == 0 or not re.search(r"decrypted-text|Decryption failed", str(refused)):
                    raise
            else:
                return

    def learns(self, who: Identity) -> None:
        """The certificate alone."""
        self._run("--import", "@", octets=who.pem)

    def decrypts(self, cms: bytes) -> bytes:
        """The content of EnvelopedData."""
        return self._run("--status-fd", "2", "--decrypt", "@", octets=cms, well=b"DECRYPTION_OKAY")

    def verifies(self, signature: bytes, content: bytes) -> None:
        """A good and trusted detached signature, or Refused."""
        signed = self._home / "content"
        signed.write_bytes(content)
        if b"GOODSIG" not in self._run("--status-fd", "1", "--verify", "@", str(signed), octets=signature):
            raise Refused("no GOODSIG")

    def opens_signed(self, cms: bytes) -> bytes:
        """The content of a good and trusted opaque signature."""
        return self._run("--output", "-", "--verify", "@", octets=cms)

    def encrypts(self, content: bytes, who: str, *options: str) -> bytes:
        """BER: it writes nothing else."""
        return self._run("--encrypt", "--recipient", who, *options, "--output", "-", "@", octets=content)

    def signs(self, content: bytes, who: str, *options: str) -> bytes:
        """BER: it writes nothing else."""
        return self._run("--sign", "--local-user", who, *options, "--output", "-", "@", octets=content)


@contextmanager
def gpgsm(home: Path, authority: Authority, people: Sequence[Identity]) -> Iterator[Gpgsm]:
    """A gpgsm whose agent is ended afterwards. ``home``: a short path, its socket stands there."""
    fingerprint = authority.certificate.fingerprint(hashes.SHA1()).hex().upper()  # how trustlist.txt names it
    (home / "trustlist.txt").write_text(":".join(fingerprint[at : at + 2] for at in range(0, 40, 2)) + " S relax\n")
    (home / "gpgsm.conf").write_text("disable-crl-checks\ndisable-policy-checks\ndisable-dirmngr\n")
    (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\nmax-cache-ttl 600\ns2k-count 65536\n")
    environment = {"GNUPGHOME": str(home), "LC_ALL": "C"}
    try:
        run(["gpgsm", "--batch", "--import"], authority.pem, environment)
        peer = Gpgsm(home)
        for who in people:
            peer.imports(who)
        yield peer
    finally:
        subprocess.run(
            ["gpgconf", "--kill", "all"], env={**os.environ, **environment}, check=False, capture_output=True
        )
