"""What ``openssl cms`` and ``gpgsm`` make of a message: counterparts that were not written here.

Raises
    Refused, with what the tool said, when it does not open, verify or make what was asked.

See also
    ``authority.py`` for the identities; RFC 8551 for the forms.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from tests.fakes.authority import Authority, Identity

PASSPHRASE = "moving"


class Refused(AssertionError):
    """The tool refused."""


@contextmanager
def _files(**contents: bytes) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="ll-openssl-") as folder:
        paths = {name: str(Path(folder) / name) for name in contents}
        for name, octets in contents.items():
            Path(paths[name]).write_bytes(octets)
        yield paths


def _run(arguments: Sequence[str], octets: bytes, environment: dict[str, str] | None = None) -> bytes:
    done = subprocess.run(
        arguments, input=octets, capture_output=True, check=False, timeout=60, env={**os.environ, **(environment or {})}
    )
    if done.returncode != 0:
        raise Refused(f"{' '.join(arguments[:4])}: {done.stderr.decode(errors='replace')[-1500:]}")
    return done.stdout


def decrypt(message: bytes, who: Identity) -> bytes:
    """The content of an encrypted S/MIME message, opened with one recipient's key."""
    with _files(certificate=who.pem, key=who.key_pem) as path:
        return _run(["openssl", "cms", "-decrypt", "-recip", path["certificate"], "-inkey", path["key"]], message)


def printed(message: bytes) -> str:
    """The CMS object of an S/MIME message, as openssl tells its structure."""
    return _run(["openssl", "cms", "-cmsout", "-print", "-noout"], message).decode()


def verify(message: bytes, authority: Authority, *, purpose: str = "smimesign") -> tuple[bytes, str]:
    """(what was signed, the signer's certificate as PEM) of a good signature, trusted below ``authority``."""
    with _files(anchor=authority.pem, signer=b"") as path:
        content = _run(
            ["openssl", "cms", "-verify", "-CAfile", path["anchor"], "-purpose", purpose, "-signer", path["signer"]],
            message,
        )
        return content, Path(path["signer"]).read_text()


def sign(content: bytes, who: Identity, *, opaque: bool = False, fields: bytes = b"") -> bytes:
    """A signed S/MIME entity with CRLF line ends; ``fields`` go before it as further header fields."""
    chain = b"".join(_pem(certificate) for certificate in who.chain)
    with _files(certificate=who.pem, key=who.key_pem, chain=chain) as path:
        made = _run(
            ["openssl", "cms", "-sign", "-signer", path["certificate"], "-inkey", path["key"], "-md", "sha256",
             *(["-certfile", path["chain"]] if chain else []), *(["-nodetach"] if opaque else [])],
            content,
        )  # fmt: skip
    return fields + crlf(made)


def encrypt(
    content: bytes,
    to: Sequence[Identity],
    *,
    cipher: str = "aes-256-cbc",
    fields: bytes = b"",
    options: Sequence[str] = (),
) -> bytes:
    """An encrypted S/MIME entity with CRLF line ends; ``fields`` go before it as further header fields."""
    with _files(**{f"to{number}": who.pem for number, who in enumerate(to)}) as path:
        made = _run(["openssl", "cms", "-encrypt", f"-{cipher}", *options, *path.values()], content)
    return fields + crlf(made)


def gpgsm_decrypts(message: bytes, who: Identity, authority: Authority) -> bytes:
    """The content gpgsm gets out of an encrypted S/MIME message; its agent is ended before this returns."""
    with _gnupg(authority) as environment:
        _import_key(who, environment)
        message_file = Path(environment["GNUPGHOME"]) / "message"
        message_file.write_bytes(_body(message))
        return _with_passphrase(["--assume-base64", "--decrypt", str(message_file)], environment)


def gpgsm_verifies(signature: bytes, content: bytes, authority: Authority) -> str:
    """What gpgsm says about a detached signature (base64 body of the signature part) when it is good and trusted."""
    with _gnupg(authority) as environment, _files(signature=signature, content=content) as path:
        done = subprocess.run(
            ["gpgsm", "--batch", "--assume-base64", "--status-fd", "1", "--verify", path["signature"], path["content"]],
            capture_output=True, check=False, timeout=60, env={**os.environ, **environment},
        )  # fmt: skip
        said = done.stdout.decode(errors="replace")
        if done.returncode != 0 or "GOODSIG" not in said:
            raise Refused(said + done.stderr.decode(errors="replace"))
        return said


def crlf(octets: bytes) -> bytes:
    """Every line end as CRLF."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", octets)


def _pem(certificate: Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _body(message: bytes) -> bytes:
    return message.replace(b"\r\n", b"\n").partition(b"\n\n")[2]


@contextmanager
def _gnupg(authority: Authority) -> Iterator[dict[str, str]]:
    """A GnuPG home that trusts one anchor."""
    with tempfile.TemporaryDirectory(prefix="ll-gpg-") as folder:
        home = Path(folder)
        print_ = authority.certificate.fingerprint(hashes.SHA1()).hex().upper()  # how trustlist.txt names it
        (home / "trustlist.txt").write_text(":".join(print_[at : at + 2] for at in range(0, 40, 2)) + " S relax\n")
        (home / "gpgsm.conf").write_text("disable-crl-checks\ndisable-policy-checks\ndisable-dirmngr\n")
        (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\nmax-cache-ttl 600\n")
        environment = {"GNUPGHOME": folder, "LC_ALL": "C"}
        try:
            _run(["gpgsm", "--batch", "--import"], authority.pem, environment)
            yield environment
        finally:
            subprocess.run(
                ["gpgconf", "--kill", "all"], env={**os.environ, **environment}, check=False, capture_output=True
            )


def _import_key(who: Identity, environment: dict[str, str]) -> None:
    """By a PKCS#12 file with the old algorithms, which every GnuPG reads; the passphrase stays the same.

    One file in eighty, gpgsm decrypts wrongly and calls it damaged: another salt helps."""
    moving = Path(environment["GNUPGHOME"]) / "moving.p12"
    for left in reversed(range(4)):
        with _files(certificate=who.pem, key=who.key_pem) as path:
            bundle = _run(
                ["openssl", "pkcs12", "-export", "-legacy", "-in", path["certificate"], "-inkey", path["key"],
                 "-passout", f"pass:{PASSPHRASE}"],
                b"",
            )  # fmt: skip
        moving.write_bytes(bundle)
        try:
            _with_passphrase(["--import", str(moving)], environment)
        except Refused as refused:
            if left == 0 or not re.search(r"decrypted-text|Decryption failed", str(refused)):
                raise
        else:
            return


def _with_passphrase(arguments: Sequence[str], environment: dict[str, str]) -> bytes:
    asked = ["gpgsm", "--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0"]
    return _run([*asked, *arguments], f"{PASSPHRASE}\n".encode(), environment)
