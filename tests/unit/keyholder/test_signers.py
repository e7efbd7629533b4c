"""Signers as real processes: their isolation, one that dies, one that hangs, many keys."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from letterlock.keyholder import signers as pool
from letterlock.keyholder.errors import SignerBusy, UseRefused
from letterlock.keyholder.nursery import Nursery, NurseryGone
from letterlock.keyholder.signers import Signers
from letterlock.vault.errors import KeyRefused
from letterlock.vault.frames import LONGEST_JOB

KEY = ed25519.Ed25519PrivateKey.generate()
PKCS8 = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def with_signers(story: Callable[[Signers], Awaitable[None]], count: int = 2) -> None:
    async def tell() -> None:
        nursery = Nursery.start()
        signers = Signers(nursery, count)
        try:
            await signers.start()
            await story(signers)
        finally:
            signers.close()
            nursery.close()

    asyncio.run(tell())


def sign(
    signers: Signers, octets: bytes = b"tbs", key_id: bytes = b"k", algorithm: str = "ed25519"
) -> asyncio.Future[bytes]:
    return signers.use("sign", key_id, lambda: PKCS8, algorithm, octets)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def test_many_uses_are_shared_out_and_each_gets_its_own_answer() -> None:
    async def story(signers: Signers) -> None:
        futures = [sign(signers, str(number).encode(), str(number % 7).encode()) for number in range(100)]
        signers.deal()
        assert all(len(member.in_hand) == pool.IN_HAND for member in signers._signers)
        for number, future in enumerate(futures):
            KEY.public_key().verify(await future, str(number).encode())

    with_signers(story)


def test_a_use_of_too_many_octets_is_refused_and_those_beside_it_are_done() -> None:
    async def story(signers: Signers) -> None:
        most = [sign(signers, bytes(LONGEST_JOB)) for _ in range(2 * pool.IN_HAND)]
        more = sign(signers, bytes(LONGEST_JOB + 1))
        signers.deal()
        with pytest.raises(UseRefused):
            await more
        await asyncio.gather(*most)

    with_signers(story)


def test_refusal_comes_back() -> None:
    async def story(signers: Signers) -> None:
        def closed() -> bytes:
            raise KeyRefused("The key does not open.")

        futures = [
            sign(signers, algorithm="ecdsa-sha256"),
            signers.use("sign", b"other", closed, "ed25519", b""),
            sign(signers),
        ]
        signers.deal()
        with pytest.raises(UseRefused):
            await futures[0]
        with pytest.raises(KeyRefused):
            await futures[1]
        await futures[2]

    with_signers(story)


@pytest.mark.req("I3")
def test_a_signer_has_one_socket_and_nothing_else() -> None:
    async def story(signers: Signers) -> None:
        futures = [sign(signers) for _ in range(8)]
        signers.deal()
        await asyncio.gather(*futures)  # now both have come to their work
        for member in signers._signers:
            found = [os.readlink(path) for path in Path(f"/proc/{member.pid}/fd").iterdir() if int(path.name) > 2]
            assert len(found) == 1, found
            assert found[0].startswith("socket:")
            status = Path(f"/proc/{member.pid}/status").read_text()
            assert "NoNewPrivs:\t1" in status
            limits = Path(f"/proc/{member.pid}/limits").read_text()
            assert next(line for line in limits.splitlines() if "core file" in line).split()[4:6] == ["0", "0"]
            assert Path(f"/proc/{member.pid}/comm").read_text() == "ll-signer\n"

    with_signers(story)


def test_a_signer_that_dies_is_replaced_and_its_work_done_by_another() -> None:
    async def story(signers: Signers) -> None:
        first = signers._signers[0]
        futures = [sign(signers, str(number).encode()) for number in range(50)]
        os.kill(first.pid, signal.SIGKILL)
        signers.deal()
        for number, future in enumerate(futures):
            KEY.public_key().verify(await asyncio.wait_for(future, 5), str(number).encode())
        await until(lambda: signers.alive == 2)
        assert signers.deaths == 1
        assert first not in signers._signers

    with_signers(story)


def test_what_kills_two_signers_is_given_up() -> None:
    class Deadly:
        """A nursery whose signers end when the test says so, without an answer."""

        def __init__(self) -> None:
            self.theirs: list[socket.socket] = []

        async def fork(self) -> tuple[socket.socket, int]:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            self.theirs.append(theirs)
            return ours, 0

    async def tell() -> None:
        nursery = Deadly()
        signers = Signers(nursery, 1)  # type: ignore[arg-type]  # it forks nothing
        await signers.start()
        future = sign(signers)
        signers.deal()
        nursery.theirs[0].close()
        await until(lambda: len(nursery.theirs) == 2 and any(each.in_hand for each in signers._signers))
        assert not future.done()
        nursery.theirs[1].close()
        with pytest.raises(SignerBusy):
            await asyncio.wait_for(future, 5)
        await until(lambda: len(nursery.theirs) == 3)
        signers.close()
        nursery.theirs[2].close()

    asyncio.run(tell())


def test_a_signer_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(signers: Signers) -> None:
        stuck = signers._signers[0]
        os.kill(stuck.pid, signal.SIGSTOP)
        future = sign(signers)
        signers.deal()
        signers.check()
        assert stuck in signers._signers
        monkeypatch.setattr(pool, "LONGEST_USE", -1.0)
        signers.check()
        monkeypatch.undo()
        KEY.public_key().verify(await asyncio.wait_for(future, 5), b"tbs")
        await until(lambda: signers.alive == 1)

    with_signers(story, count=1)


def test_keys_are_forgotten_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "KEPT_KEYS", 2)
    revealed: list[bytes] = []

    def reveal(key_id: bytes) -> Callable[[], bytes]:
        def give() -> bytes:
            revealed.append(key_id)
            return PKCS8

        return give

    async def story(signers: Signers) -> None:
        for key_id in (b"a", b"a", b"b", b"a", b"c", b"a", b"b"):
            future = signers.use("sign", key_id, reveal(key_id), "ed25519", b"tbs")
            signers.deal()
            await future
        signers.forget(b"a")
        future = signers.use("sign", b"a", reveal(b"a"), "ed25519", b"tbs")
        signers.deal()
        await future

    with_signers(story, count=1)
    assert revealed == [b"a", b"b", b"c", b"b", b"a"]


def test_too_long_a_line_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LONGEST_LINE", 3)

    async def story(signers: Signers) -> None:
        futures = [sign(signers) for _ in range(4)]
        with pytest.raises(SignerBusy):
            await futures[3]
        signers.deal()
        await asyncio.gather(*futures[:3])

    with_signers(story)


def test_without_a_nursery_there_is_no_hope() -> None:
    async def tell() -> None:
        nursery = Nursery.start()
        signers = Signers(nursery, 1)
        await signers.start()
        os.kill(nursery.pid, signal.SIGKILL)
        os.waitpid(nursery.pid, 0)
        os.kill(signers._signers[0].pid, signal.SIGKILL)
        await asyncio.wait_for(signers.hopeless.wait(), 5)
        with pytest.raises(NurseryGone):
            await nursery.fork()
        future = sign(signers)
        signers.close()
        with pytest.raises(SignerBusy):
            await future
        nursery.close()

    asyncio.run(tell())


def lives(pid: int) -> bool:
    """Whether it runs; one that has ended and was not waited for by whoever inherited it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_signers_end_with_their_keyholder() -> None:
    pids: list[int] = []

    async def story(signers: Signers) -> None:
        pids.extend(member.pid for member in signers._signers)

    with_signers(story)

    async def gone() -> None:
        await until(lambda: not any(lives(pid) for pid in pids))

    asyncio.run(gone())
