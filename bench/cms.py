"""The CMS layer beside the bare primitives and beside ``openssl cms``: milliseconds of CPU a message.

Order
    For each size: sign and encrypt one message (detached RSA-2048 signature inside AES-256 for one RSA-2048 recipient),
    then open and verify it; once as CMS alone, once with all the MIME around it (parsing, base64, multipart/signed). The
    bare primitives do the same arithmetic over the same octets and nothing else. Rounds are interleaved; the median is
    told.

Guarantees
    CPU time, not wall time: what other programs on the machine do counts less. Children are counted with openssl.

See also
    docs/performance.md for results with their date. Run: ``python -m bench.cms [--rounds N] [--json]``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pybase64
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from tests.fakes.authority import Authority
from tests.fakes.own_keys import KeyInMemory, Keys

from letterlock.mail.message import Buffer, Message
from letterlock.smime.capabilities import EncryptionPolicy, group_recipients
from letterlock.smime.decrypt import open_enveloped
from letterlock.smime.encrypt import enveloped, smime_type
from letterlock.smime.mime import multipart_signed, to_mime, wrap
from letterlock.smime.party import load_party
from letterlock.smime.peel import peel
from letterlock.smime.sign import prepare_signature
from letterlock.smime.spool import MemorySpool
from letterlock.smime.verify import verify_detached

SIZES = {"10 KB": 10 << 10, "100 KB": 100 << 10, "1 MB": 1 << 20, "20 MB": 20 << 20}
SHA256 = hashes.SHA256()
V15 = padding.PKCS1v15()
PIECE = 48 << 10
Answer = TypeVar("Answer")


class Bench:
    """People, one message of each size, and what is measured on them."""

    def __init__(self, folder: Path, cipher: str) -> None:
        anchor = Authority.create(key="rsa2048")
        self.alice, self.bob = anchor.issue("alice@example.org"), anchor.issue("bob@example.net")
        self.signer, self.reader = load_party(self.alice.der), load_party(self.bob.der)
        self.key, self.keys = KeyInMemory(self.alice), Keys(self.bob)
        (self.group,) = group_recipients([self.reader], EncryptionPolicy(cipher))
        self.folder = folder
        for name, octets in (("anchor", anchor.pem), ("alice", self.alice.pem + self.alice.key_pem)):
            (folder / name).write_bytes(octets)
        (folder / "bob").write_bytes(self.bob.pem + self.bob.key_pem)

    def protect(self, message: Message) -> Iterator[Buffer]:
        """Ours: a message in, the octets to send out, piece by piece as they are stored or sent."""
        wrapped = wrap(message)
        pending = prepare_signature(wrapped.entity, self.signer)
        signature = self.key.sign_now(pending.tbs, pending.algorithm)
        entity = multipart_signed(wrapped.entity, pending, pending.finish(signature))
        length = sum(map(len, entity))
        yield from wrapped.outer
        yield from to_mime(enveloped(entity, length, self.group), smime_type(self.group))

    def unprotect(self, octets: bytes) -> None:
        """Ours: decrypted and verified. No key is elsewhere here, so there is nothing to wait for, and no loop to pay."""
        found = driven(peel(Message(octets), self.keys))
        assert [each.verdict for each in found.layers] == ["ok", "ok"]
        assert found.layers[1].outcomes[0].verdict == "ok"

    def make(self, content: Buffer) -> tuple[bytes, Iterator[bytes]]:
        """Ours, CMS alone: the signature, and the encrypted content piece by piece."""
        pending = prepare_signature([content], self.signer)
        signature = pending.finish(self.key.sign_now(pending.tbs, pending.algorithm))
        return signature, enveloped([content], len(content), self.group)

    def open(self, signature: bytes, cms: bytes) -> None:
        """Ours, CMS alone: decrypted and verified."""
        spool = MemorySpool()
        driven(open_enveloped(lambda: (cms,), self.keys, spool))
        verify_detached([signature], spool.octets())

    def make_bare(self, octets: memoryview) -> None:
        """The arithmetic of make(): RSA, SHA-256 and AES over the same octets."""
        self.alice.key.sign(b"x" * 300, V15, SHA256)
        self._hash(octets)
        self.reader.public.encrypt(bytes(32), V15)
        update = Cipher(algorithms.AES(bytes(32)), self._mode()).encryptor().update
        for piece in _pieces(octets):
            update(piece)

    def open_bare(self, encrypted: bytes, encrypted_key: bytes, size: int) -> None:
        """The arithmetic of open()."""
        self.bob.key.decrypt(encrypted_key, V15)
        update = Cipher(algorithms.AES(bytes(32)), self._mode()).decryptor().update
        content = b"".join([update(piece) for piece in _pieces(encrypted)])
        self._hash(memoryview(content)[:size])
        self.signer.public.verify(self.signature, b"x", V15, SHA256)

    def protect_bare(self, message: Message) -> None:
        """The arithmetic of protect(): RSA, SHA-256, AES and base64 over the same octets."""
        octets = memoryview(message.octets)
        self.alice.key.sign(b"x" * 300, V15, SHA256)
        self._hash(octets)
        self.reader.public.encrypt(bytes(32), V15)
        update = Cipher(algorithms.AES(bytes(32)), self._mode()).encryptor().update
        for piece in _pieces(octets):
            pybase64.b64encode(update(piece))

    def unprotect_bare(self, encoded: bytes, encrypted_key: bytes, size: int) -> None:
        """The arithmetic of unprotect(), on as much base64."""
        self.bob.key.decrypt(encrypted_key, V15)
        update = Cipher(algorithms.AES(bytes(32)), self._mode()).decryptor().update
        content = b"".join([update(pybase64.b64decode(piece)) for piece in _pieces(encoded)])
        self._hash(memoryview(content)[:size])
        self.signer.public.verify(self.signature, b"x", V15, SHA256)

    def _mode(self) -> modes.CBC | modes.GCM:
        return modes.GCM(bytes(12)) if self.group.cipher.mode == "gcm" else modes.CBC(bytes(16))

    def _hash(self, octets: memoryview) -> None:
        digest = hashes.Hash(SHA256)
        digest.update(octets)
        digest.finalize()

    def protect_openssl(self, path: Path) -> None:
        """openssl cms -sign, then -encrypt, by files."""
        signed, out = self.folder / "signed", self.folder / "out"
        self._openssl("-sign", "-signer", "alice", "-in", str(path), "-out", str(signed))
        self._openssl("-encrypt", "-aes-256-cbc", "-recip", "bob", "-in", str(signed), "-out", str(out))

    def unprotect_openssl(self) -> None:
        """openssl cms -decrypt, then -verify, by files."""
        out, opened = self.folder / "out", self.folder / "opened"
        self._openssl("-decrypt", "-recip", "bob", "-in", str(out), "-out", str(opened))
        self._openssl("-verify", "-CAfile", "anchor", "-in", str(opened), "-out", os.devnull)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", "cms", *arguments], cwd=self.folder, check=True, capture_output=True)

    @property
    def signature(self) -> bytes:
        """A valid one over b"x", made once."""
        if not hasattr(self, "_signature"):
            self._signature = self.alice.key.sign(b"x", V15, SHA256)
        return self._signature


def driven(waiting: Coroutine[Any, Any, Answer]) -> Answer:
    """What a coroutine returns that never waits."""
    try:
        waiting.send(None)
    except StopIteration as stop:
        answer: Answer = stop.value
        return answer
    raise RuntimeError("it waits")


def _pieces(octets: Buffer) -> Iterator[memoryview]:
    view = memoryview(octets)
    return (view[at : at + PIECE] for at in range(0, len(view), PIECE))


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _milliseconds(act: Callable[[], object], times: int) -> float:
    act()  # once before: whoever comes first would pay for memory that the next one finds ready
    started = _cpu()
    for _ in range(times):
        act()
    return (_cpu() - started) / times * 1000


def measure(size: int, rounds: int, bench: Bench) -> dict[str, float]:
    """Medians in milliseconds of CPU."""
    text = (b"The quick brown fox jumps over the lazy dog, and again and again and on\r\n" * (size // 73 + 1))[:size]
    message = Message(b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: s\r\n\r\n" + text[:-2] + b"\r\n")
    path = bench.folder / "in"
    path.write_bytes(message.octets)
    octets = b"".join(bench.protect(message))
    encoded = pybase64.b64encode(bytes(size + 16 - size % 16))
    key = bench.reader.public.encrypt(bytes(32), V15)
    bench.protect_openssl(path)
    signature, pieces = bench.make(message.octets)
    cms, sealed = b"".join(pieces), bytes(size + 16 - size % 16)
    times = max(3, min(200, (4 << 20) // size))
    acts: dict[str, tuple[Callable[[], object], int]] = {
        "make": (lambda: deque(bench.make(message.octets)[1], maxlen=0), times),
        "make bare": (lambda: bench.make_bare(memoryview(message.octets)), times),
        "read": (lambda: bench.open(signature, cms), times),
        "read bare": (lambda: bench.open_bare(sealed, key, size), times),
        "protect": (lambda: deque(bench.protect(message), maxlen=0), times),
        "protect bare": (lambda: bench.protect_bare(message), times),
        "protect openssl": (lambda: bench.protect_openssl(path), 1),
        "open": (lambda: bench.unprotect(octets), times),
        "open bare": (lambda: bench.unprotect_bare(encoded, key, size), times),
        "open openssl": (bench.unprotect_openssl, 1),
        "RSA private": (lambda: bench.alice.key.sign(b"x", V15, SHA256), times),
    }
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, (act, count) in acts.items():
            taken[name].append(_milliseconds(act, count))
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cipher", default="aes256-cbc")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(prefix="ll-bench-") as folder:
        bench = Bench(Path(folder), asked.cipher)
        for name, size in SIZES.items():
            results[name] = measure(size, asked.rounds, bench)
    if asked.json:
        print(json.dumps(results, indent=1))
        return
    print(table("CMS alone", results, ("make", "make bare", "read", "read bare")))
    print(table("with MIME", results, ("protect", "protect bare", "open", "open bare")))
    print(table("openssl", results, ("protect openssl", "open openssl", "RSA private")))


def table(title: str, results: dict[str, dict[str, float]], names: Sequence[str]) -> str:
    """A table of milliseconds, with the ratios of ours to the bare ones."""
    rated = [name for name in names if f"{name} bare" in names]
    lines = [f"{title:10}" + "".join(f"{name:>17}" for name in names) + "".join(f"{'x ' + name:>10}" for name in rated)]
    for size, row in results.items():
        ratios = "".join(f"{row[name] / row[f'{name} bare']:10.2f}" for name in rated)
        lines.append(f"{size:10}" + "".join(f"{row[name]:17.3f}" for name in names) + ratios)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
