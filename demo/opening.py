"""``openssl cms`` as the other side's mail program: makes what strangers send, opens what they get.

Raises
    OpeningError, with what openssl said.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from authority import Person


class OpeningError(Exception):
    """openssl refused."""


def _openssl(*words: str | Path, octets: bytes) -> bytes:
    done = subprocess.run(["openssl", "cms", *map(str, words)], input=octets, capture_output=True, check=False)
    if done.returncode != 0:
        raise OpeningError(done.stderr.decode(errors="replace").strip().splitlines()[0])
    return done.stdout


def decrypt(mail: bytes, person: Person) -> bytes:
    """The content of an encrypted mail, with the person's key."""
    return _openssl("-decrypt", "-recip", person.certificate, "-inkey", person.key, octets=mail)


def verify(mail: bytes, authority: Path) -> bytes:
    """What was signed, when the signature is good and the signer trusted below ``authority``."""
    return _openssl("-verify", "-CAfile", authority, octets=mail)


def sign(content: bytes, person: Person) -> bytes:
    """A multipart/signed entity."""
    return _crlf(
        _openssl("-sign", "-signer", person.certificate, "-inkey", person.key, "-md", "sha256", octets=content)
    )


def encrypt(content: bytes, person: Person) -> bytes:
    """An application/pkcs7-mime entity for one reader."""
    return _crlf(_openssl("-encrypt", "-aes-256-cbc", person.certificate, octets=content))


def _crlf(octets: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
