"""What a peer is, and how its program is asked.

Guarantees
    A program that is missing is said by the name of its package. Everything that a program says against a message is
    Refused; what our own side does wrong never is.

See also
    ``tests/interop/forms.py`` for the forms; the siblings of this file, one for each peer.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

from tests.interop.forms import Form


class Refused(Exception):
    """The peer refuses: what it said."""


class NotOffered(Exception):
    """The program has no command for it: nothing that could be tried."""


class Peer(Protocol):
    """A program that reads and writes S/MIME. reads() and writes() raise Refused, and NotOffered.

    ``chooses_cipher``: it cannot be told which cipher to write with."""

    chooses_cipher: bool

    @property
    def name(self) -> str:
        """As the document calls it."""

    def version(self) -> str:
        """Its version, as numbers with points."""

    def reads(self, form: Form, mail: bytes) -> list[bytes]:
        """What the peer finds in ``mail``: the content, once for each recipient; or the certificates."""

    def writes(self, form: Form) -> bytes:
        """The form as the peer writes it, as an entity of mail."""

    def close(self) -> None:
        """End what still runs."""


def program(name: str, package: str) -> str:
    """The path of a program; fails with the name of the package that has it."""
    found = shutil.which(name)
    assert found, f"{name} is missing: install {package} (make test as root does)"
    return found


def run(
    command: Sequence[str], octets: bytes = b"", environment: Mapping[str, str] | None = None, well: bytes = b""
) -> bytes:
    """What the program writes. ``well``: what stands in its standard error when all is well, whatever its exit code."""
    done = subprocess.run(
        command, input=octets, capture_output=True, check=False, timeout=60, env={**os.environ, **(environment or {})}
    )
    if done.returncode != 0 and not (well and well in done.stderr):
        said = (done.stderr[-1500:] + done.stdout[-500:]).decode(errors="replace")
        raise Refused(f"{command[0].rpartition('/')[2]} ended with {done.returncode}: {said}")
    return done.stdout


def numbers(text: bytes) -> str:
    """The first version number in what a program says of itself."""
    found = re.search(rb"\d+(\.\d+)+", text)
    assert found, text
    return found[0].decode()


class Conversation:
    """A program that answers questions line by line for as long as it runs: see Peer.java."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ask(self, verb: str, *words: bytes | str) -> bytes:
        """The answer. Raises Refused with the reason."""
        assert self._process.stdin and self._process.stdout and self._process.stderr
        told = [each if isinstance(each, str) else base64.b64encode(each).decode("ascii") for each in words]
        self._process.stdin.write(" ".join((verb, *told)).encode("ascii") + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().decode()
        if answer.startswith("ok "):
            return base64.b64decode(answer[3:])
        if not answer:
            self._process.wait(10)
            raise AssertionError(f"the peer ended: {self._process.stderr.read().decode(errors='replace')[-1500:]}")
        raise Refused(answer.strip())

    def close(self) -> None:
        """No more questions."""
        self._process.communicate(timeout=20)
