"""Connections to next hops: pipelined, pooled, retried once when stale, protected as asked; nothing forgotten."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest

from letterlock.delivery import pool as pools
from letterlock.delivery.next_hop import Host
from letterlock.delivery.outcome import Outcome
from letterlock.delivery.pool import Pool
from letterlock.errors import PermanentError
from letterlock.mail import limits
from letterlock.mail.envelope import Recipient
from letterlock.smtp.client import Job
from tests.fakes.next_hop import NextHop
from tests.fakes.sending import Script, Wire, job, send, sent, verdicts, well, with_pool

pytestmark = pytest.mark.usefixtures("each_loop", "no_long_good_byes")


@pytest.mark.req("A1")
def test_many_messages_over_few_connections() -> None:
    with NextHop() as hop:
        found = send(hop.port, *(job(f"r{n}", b"Subject: %d\r\n\r\n.x\r\n" % n) for n in range(100)))
        assert verdicts(found) == [["delivered"]] * 100
        assert hop.connections <= pools.FEW_LANES
        assert sorted(a.recipients[0] for a in hop.arrivals) == sorted(f"r{n}@b.test" for n in range(100))
        assert all(a.octets.endswith(b"\r\n\r\n.x\r\n") for a in hop.arrivals)


@pytest.mark.req("A1")
@pytest.mark.usefixtures("one_lane")
def test_connection_lost_behind_the_dot_gives_the_next_message_another_chance() -> None:
    """The first message may have been taken: deferred. The second, whose MAIL rode behind its dot, was not looked at."""

    async def dies_at_the_dot(_script: Script, wire: Wire) -> None:
        await wire.hello()
        await wire.envelope()
        await wire.hear(b"\r\n.\r\n")
        await wire.hear(b"DATA\r\n")  # of the second: it did ride behind the dot

    async def run() -> tuple[list[list[Outcome]], list[bytes]]:
        async with Script(dies_at_the_dot, well) as script:
            pool = Pool("client.test")
            hosts = [Host("127.0.0.1", script.port)]
            found = await asyncio.gather(sent(pool, hosts, job("first")), sent(pool, hosts, job("second")))
            await pool.close()
            return list(found), script.said

    (first, second), said = asyncio.run(run())
    assert [(one.verdict, one.status) for one in first] == [("deferred", "4.4.2")]
    assert [one.verdict for one in second] == ["delivered"]
    assert b"second@b.test" in said[0]
    assert b"first@b.test" not in said[1]
    assert said[1].count(b"second@b.test") == 1


@pytest.mark.req("A1")
@pytest.mark.usefixtures("one_lane")
def test_connection_lost_after_the_answer_to_the_dot() -> None:
    async def dies_after(_script: Script, wire: Wire) -> None:
        await wire.hello()
        await wire.message()
        await wire.hear(b"DATA\r\n")

    async def run() -> list[list[Outcome]]:
        async with Script(dies_after, well) as script:
            pool = Pool("client.test")
            hosts = [Host("127.0.0.1", script.port)]
            found = await asyncio.gather(*(sent(pool, hosts, job(name)) for name in ("first", "second", "third")))
            await pool.close()
            return list(found)

    assert verdicts(asyncio.run(run())) == [["delivered"]] * 3


@pytest.mark.req("A1")
@pytest.mark.usefixtures("one_lane")
def test_a_second_loss_goes_back_to_the_caller() -> None:
    """Tried once more, not for ever: each of the messages gets an outcome, whatever the server does."""

    async def dies(_script: Script, wire: Wire) -> None:
        await wire.hello()
        await wire.envelope()
        await wire.hear(b"\r\n.\r\n")

    async def run() -> tuple[list[list[Outcome]], int]:
        async with Script(dies) as script:
            pool = Pool("client.test")
            hosts = [Host("127.0.0.1", script.port)]
            found = await asyncio.gather(*(sent(pool, hosts, job(f"r{n}")) for n in range(6)))
            await pool.close()
            return list(found), len(script.said)

    found, connections = asyncio.run(run())
    assert verdicts(found) == [["deferred"]] * 6
    assert connections <= 6


@pytest.mark.req("A1")
def test_lost_behind_two_dots_is_lost_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """One retry, also when the second connection is an old one and breaks in the same way."""
    monkeypatch.setattr(pools, "FEW_LANES", 2)
    monkeypatch.setattr(pools, "PATIENCE", 60.0)

    async def run() -> tuple[list[list[Outcome]], list[bytes]]:
        broken = asyncio.Event()

        async def first(_script: Script, wire: Wire) -> None:
            await wire.hello()
            await wire.envelope()
            await wire.hear(b"\r\n.\r\n")
            await wire.hear(b"DATA\r\n")
            broken.set()

        async def second(_script: Script, wire: Wire) -> None:
            await wire.hello()
            await wire.hear(b"DATA\r\n")
            await broken.wait()
            await asyncio.sleep(0.1)  # the client has seen the end of the other connection
            wire.say(b"250 ok\r\n250 ok\r\n354 go\r\n")
            await wire.hear(b"\r\n.\r\n")
            await wire.hear(b"DATA\r\n")

        async with Script(first, second, well) as script:
            pool = Pool("client.test")
            hosts = [Host("127.0.0.1", script.port)]
            found = await asyncio.gather(*(sent(pool, hosts, job(f"r{n}")) for n in range(3)))
            await pool.close()
            return list(found), script.said

    found, said = asyncio.run(run())
    assert verdicts(found) == [["deferred"]] * 3
    assert [each.count(b"r2@b.test") for each in said] == [1, 1]


@pytest.mark.req("A1")
@pytest.mark.parametrize("farewell", [b"", b"421 4.3.2 restarting\r\n"])
@pytest.mark.parametrize("when", ["idle", "at MAIL"])
def test_a_stale_connection_is_replaced_once(farewell: bytes, when: str) -> None:
    async def once(_script: Script, wire: Wire) -> None:
        await wire.hello()
        await wire.message()
        if when == "at MAIL":
            await wire.hear(b"DATA\r\n")
        wire.say(farewell)

    async def run() -> tuple[list[list[Outcome]], int]:
        async with Script(once, well) as script:
            pool = Pool("client.test")
            hosts = [Host("127.0.0.1", script.port)]
            first = await sent(pool, hosts, job("first"))
            second = await sent(pool, hosts, job("second"))
            await pool.close()
            return [first, second], len(script.said)

    assert asyncio.run(run()) == (
        [[Outcome("delivered", 250, "2.0.0", "250 2.0.0 taken", "127.0.0.1", dsn_is_ours=True)]] * 2, 2
    )  # fmt: skip


def test_a_fresh_connection_that_breaks_is_not_retried_here() -> None:
    async def dies(_script: Script, wire: Wire) -> None:
        await wire.hello()
        await wire.hear(b"DATA\r\n")

    async def run() -> tuple[list[Outcome], int]:
        async with Script(dies) as script:
            pool = Pool("client.test")
            found = await sent(pool, [Host("127.0.0.1", script.port)], job())
            await pool.close()
            return found, len(script.said)

    found, connections = asyncio.run(run())
    assert (found[0].verdict, found[0].connected) == ("deferred", True)
    assert connections == 1


@pytest.mark.req("A12")
def test_each_recipient_has_its_own_outcome() -> None:
    with NextHop() as hop:
        hop.fail("rcpt", reply="550 5.1.1 nobody", recipient="gone@b.test")
        hop.fail("rcpt", reply="450 4.2.1 later", recipient="late@b.test")
        (found,) = send(hop.port, job("bob", b"x\r\n", "gone", "late", "carol"))
        assert [(one.verdict, one.code, one.status) for one in found] == [
            ("delivered", 250, "2.0.0"), ("failed", 550, "5.1.1"), ("deferred", 450, "4.2.1"), ("delivered", 250, "2.0.0"),
        ]  # fmt: skip
        assert hop.arrivals[0].recipients == ("bob@b.test", "carol@b.test")
        assert found[1].reply == "550 5.1.1 nobody"


@pytest.mark.req("A1")
@pytest.mark.parametrize(
    ("stage", "reply", "verdict"),
    [
        ("connect", "554 5.3.2 no", "deferred"),
        ("connect", "421 4.3.2 no", "deferred"),
        ("ehlo", "451 4.3.0 no", "deferred"),
        ("mail", "550 5.7.1 no", "failed"),
        ("mail", "451 4.7.1 no", "deferred"),
        ("data", "554 5.6.0 no", "failed"),
        ("data", "451 4.3.0 no", "deferred"),
        ("dot", "552 5.3.4 no", "failed"),
        ("dot", "452 4.3.1 no", "deferred"),
    ],
)
def test_refusals_at_each_stage(stage: str, reply: str, verdict: str) -> None:
    with NextHop() as hop:
        hop.fail(stage, reply=reply, times=1)
        (found,) = send(hop.port, job())
        assert (found[0].verdict, found[0].reply) == (verdict, reply)
        assert verdicts(send(hop.port, job(), job(), job())) == [["delivered"]] * 3


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "body", "dot"])
def test_a_connection_reset_at_each_stage_is_a_deferral(stage: str) -> None:
    with NextHop() as hop:
        hop.fail(stage, reset=True, times=1)
        assert verdicts(send(hop.port, job(content=b"x" * 70 + b"\r\n"))) == [["deferred"]]
        assert verdicts(send(hop.port, job())) == [["delivered"]]


def test_nobody_listens() -> None:
    with NextHop() as hop:
        port = hop.port
    found = send(port, *(job() for _ in range(10)))
    assert {(one.verdict, one.status, one.connected) for each in found for one in each} == {
        ("deferred", "4.4.1", False)
    }
    assert verdicts([with_pool(lambda pool: sent(pool, [], job()))]) == [["deferred"]]


def test_the_next_host_is_tried() -> None:
    with NextHop() as dead, NextHop() as refusing, NextHop() as good:
        dead.close()
        refusing.fail("connect", reply="554 no")
        hosts = [Host("127.0.0.1", hop.port) for hop in (dead, refusing, good)]
        found = with_pool(lambda pool: sent(pool, hosts, job()))
        assert found[0].verdict == "delivered"
        assert len(good.arrivals) == 1


def test_helo_for_a_server_that_knows_no_ehlo() -> None:
    with NextHop(extensions=()) as hop:
        hop.fail("ehlo", reply="502 5.5.1 what", times=1)
        assert verdicts(send(hop.port, job(), job())) == [["delivered"]] * 2


@pytest.mark.req("A14")
def test_a_large_message_goes_piece_by_piece() -> None:
    piece = (b"0123456789" * 7 + b"\r\n") * 14_000
    made = 0

    def content() -> Iterator[bytes]:
        nonlocal made
        for _ in range(40):
            made += 1
            yield bytes(bytearray(piece))  # a fresh one, as opening segments makes

    with NextHop() as hop:
        work = Job("a@a.test", (Recipient("b@b.test"),), content, len(piece) * 40)
        tracemalloc.start()
        verdict = send(hop.port, work)[0][0].verdict
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert verdict == "delivered"
        assert made == 40
        assert hop.arrivals[0].octets == piece * 40
        assert peak < 6 * len(piece) * 40  # the fake keeps several copies; the test below measures us alone


def test_we_wait_for_a_slow_reader() -> None:
    """No more is read of the content than the connection takes."""
    taken = 0

    def content() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield (b"x" * 70 + b"\r\n") * 14_000

    async def slow(_script: Script, wire: Wire) -> None:
        await wire.hello()
        await wire.envelope()
        await asyncio.sleep(0.5)
        assert taken < 20
        await asyncio.Event().wait()

    async def run() -> Outcome:
        async with Script(slow) as script:
            pool = Pool("client.test")
            work = Job("a@a.test", (Recipient("b@b.test"),), content, 100_800_000)
            sending = asyncio.create_task(sent(pool, [Host("127.0.0.1", script.port)], work))
            await asyncio.sleep(1.0)
            assert taken < 20
            close = asyncio.create_task(pool.close())
            found = await sending
            await close
            return found[0]

    assert asyncio.run(run()).verdict == "deferred"


class Broken(PermanentError):
    """Stored content does not agree with its seal."""


@pytest.mark.parametrize("error", [Broken(), ValueError("content of a mail")])
def test_content_that_breaks_off_is_never_a_whole_message(error: Exception) -> None:
    def content() -> Iterator[bytes]:
        yield b"Subject: x\r\n\r\n" * 1000
        raise error

    with NextHop() as hop:
        work = Job("a@a.test", (Recipient("b@b.test"),), content, 100)
        (found,) = send(hop.port, work)
        assert found[0].verdict == ("failed" if isinstance(error, Broken) else "deferred")
        assert "content of" not in found[0].reply
        assert hop.arrivals == []
        assert verdicts(send(hop.port, job())) == [["delivered"]]


def test_silence_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_script: Script, wire: Wire) -> None:
        await wire.hello()
        await wire.envelope()
        await asyncio.Event().wait()

    async def mute(_script: Script, wire: Wire) -> None:
        await asyncio.Event().wait()

    async def run() -> list[list[Outcome]]:
        async with Script(silent) as first, Script(mute) as second:
            pool = Pool("client.test")
            found = await asyncio.gather(
                *(sent(pool, [Host("127.0.0.1", script.port)], job()) for script in (first, second))
            )
            await pool.close()
            return list(found)

    monkeypatch.setattr(limits, "DOT_SECONDS", 0.3)
    monkeypatch.setattr(limits, "GREETING_SECONDS", 0.3)
    assert verdicts(asyncio.run(run())) == [["deferred"], ["deferred"]]


def test_a_closed_pool_sends_nothing_more() -> None:
    async def run() -> tuple[list[list[Outcome]], list[bytes]]:
        async with Script(well) as script:
            pool = Pool("client.test")
            hosts = [Host("127.0.0.1", script.port)]
            found = await sent(pool, hosts, job("first"))
            await pool.close()
            return [found, await sent(pool, hosts, job("late"))], script.said

    found, said = asyncio.run(run())
    assert verdicts(found) == [["delivered"], ["deferred"]]
    assert len(said) == 1
    assert b"late" not in said[0]
