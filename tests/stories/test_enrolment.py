"""Enrolments by ACME with their real parts in one process: each state, each way to fail, each way to go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from letterlock.decision.known import Layer, Signer
from letterlock.decision.known import Opened as KnownOpened
from letterlock.pki import calls as pki
from letterlock.pki.acme import drive
from letterlock.pki.acme.begin import NoDirectory
from letterlock.pki.ca import calls, pending
from letterlock.pki.certificate import parse
from tests.fakes.acme_office import ALICE, AtWork, with_house
from tests.fakes.acme_server import SENDER
from tests.fakes.office import now
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.slow, pytest.mark.req("C6"), pytest.mark.req("C12")]

Tell = Callable[[Callable[[AtWork], Awaitable[None]]], None]


@pytest.fixture
def tell(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    return lambda story: with_house(database, tmp_path, monkeypatch, story)


def test_from_the_request_to_the_certificate(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        asked = await work.ask()
        assert asked.state == "enrolling"
        await work.turn()
        waiting = await work.request(asked.id)
        assert (waiting.state, waiting.reason) == ("enrolling", f"Waits for the challenge mail from {SENDER}.")
        end = await work.answer()
        assert (end.state, end.outcomes, len(end.notices)) == ("gone", [(ALICE, "answered")], 1)
        await work.pass_time()
        done = await work.request(asked.id)
        assert (done.state, done.reason) == ("done", "")
        assert work.house.server.faults == []
        (kept,) = await pki.candidates(work.desks.scene.world.flow, addresses=[ALICE])
        assert (kept.id, kept.key_id) == (done.issued, done.key_id)
        assert parse(kept.der).addresses == (ALICE,)
        above = work.desks.scene.world.ask("SELECT count(*) FROM pki.certificate WHERE is_ca")
        assert above == [(1,)], "what stands above it is kept"
        assert await work.bring(work.house.mails[-1]) is None, "nobody waits any more: ordinary mail"

    tell(story)


def test_every_step_can_be_the_last_before_a_crash(tell: Tell) -> None:
    """Each step is taken twice, as by two processes of which one was slower; and each sent again."""

    async def story(work: AtWork) -> None:
        asked = await work.ask()
        again = await pending.carry_out(work.desks.housekeeping, asked._replace(state="due"), now())
        assert again in ("failed", "due", "enrolling")
        request_id = asked.id
        work.desks.scene.world.do("UPDATE ca.request SET state = 'enrolling' WHERE id = %s", request_id)
        for _ in range(60):
            await work.turn(now() + timedelta(minutes=1), most=1)
            for row in await drive.calls.due(work.desks.housekeeping.gate, at=now(), max=9):
                await drive._step(work.desks.housekeeping, row, now())
                await drive._step(work.desks.housekeeping, row, now())
            if (await work.request(request_id)).reason.startswith("Waits") and not work.replies:
                await work.answer()
                await work.bring(work.house.mails[-1])
        assert (await work.request(request_id)).state == "done"
        assert len({each.partition(b"\r\n\r\n")[2] for each in work.replies}) == 1
        assert work.house.server.faults == []

    tell(story)


def test_a_mail_that_comes_before_the_challenge_is_known_waits_a_little(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        await work.ask()
        while not work.house.mails:
            await work.turn(most=1)
        early = await work.bring(work.house.mails[-1])
        assert (early.state, early.outcomes, early.notices) == ("received", [], [])
        assert timedelta() < early.due_at - now() < timedelta(seconds=5)
        assert await work.bring(work.house.mails[-1], attempts=7) is None, "but not for ever"
        await work.turn()
        assert (await work.bring(work.house.mails[-1], attempts=2)).state == "gone"

    tell(story)


def test_a_server_that_is_away_is_asked_again_later(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        away = f"{work.house.directory.rpartition(':')[0]}:1/directory"
        await work.set("acme_directory", away)
        work.exchanges.directory = away
        asked = await work.ask()
        waits, at = [], now() + timedelta(seconds=30)
        for _ in range(8):
            await work.turn(at)
            found = await work.request(asked.id)
            assert (found.state, "Asked again later" in found.reason) == ("enrolling", True)
            assert "does not answer" in found.reason
            waits.append(found.due_at - at)
            at = found.due_at
        assert waits[:3] == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
        assert max(waits) == drive.LONGEST_WAIT
        await work.turn(now() + timedelta(days=1, minutes=1))
        found = await work.request(asked.id)
        assert found.state == "failed"
        assert "did not come in time" in found.reason
        assert "does not answer" in found.reason

    tell(story)


def test_without_a_challenge_mail_it_fails_with_a_sentence_and_can_be_tried_again(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        asked = await work.ask()
        await work.turn()
        await work.turn(now() + timedelta(days=2))
        failed = await work.request(asked.id)
        assert (failed.state, SENDER in failed.reason) == ("failed", True)
        gate, token = work.desks.person.gate, work.desks.person.token
        assert await calls.decide_request(gate, token=token, id=asked.id, verdict="retry") == "done"
        await pending.work(work.desks.housekeeping, now())
        again = await work.request(asked.id)
        assert (again.state, again.key_id) == ("enrolling", asked.key_id)
        await work.turn()
        await work.answer()
        await work.pass_time()
        assert (await work.request(asked.id)).state == "done"

    tell(story)


def test_the_reply_is_given_time_to_arrive_before_the_server_looks(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        asked = await work.ask()
        await work.turn()
        await work.bring(work.house.mails[-1])
        await work.turn(now() + timedelta(seconds=30))
        assert not work.house.server.looked_for
        assert "given time" in (await work.request(asked.id)).reason
        await work.turn(now() + timedelta(seconds=70))
        assert work.house.server.looked_for

    tell(story)


def test_a_rejected_request_goes_no_further(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        asked = await work.ask()
        await work.turn()
        gate, token = work.desks.person.gate, work.desks.person.token
        assert await calls.decide_request(gate, token=token, id=asked.id, verdict="reject") == "done"
        told = len(work.house.server.told)
        assert await work.bring(work.house.mails[-1]) is None
        await work.turn(now() + timedelta(days=2))
        assert len(work.house.server.told) == told

    tell(story)


def test_terms_of_service_are_a_persons_to_agree_to(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        work.house.server.terms = "https://acme.test/terms"
        asked = await work.ask()
        await work.turn()
        failed = await work.request(asked.id)
        assert failed.state == "failed"
        assert "acme_terms_agreed" in failed.reason
        assert "https://acme.test/terms" in failed.reason
        await work.set("acme_terms_agreed", True)
        asked = await work.ask()
        await work.turn()
        assert (await work.request(asked.id)).state == "enrolling"
        assert work.house.server.agreed is True

    tell(story)


def test_what_cannot_be_enrolled_says_so_at_once(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        foreign = await work.ask("bob@outside.test")
        assert (foreign.state, "no internal domain" in foreign.reason) == ("failed", True)
        await work.set("acme_directory", "")
        nowhere = await work.ask()
        assert (nowhere.state, nowhere.reason) == ("failed", NoDirectory().public)

    tell(story)


def test_an_account_is_made_once(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        for address in (ALICE, "bob@inside.test"):
            await work.ask(address)
            await work.turn()
        keys = work.desks.scene.world.ask("SELECT use, count(*) FROM keyholder.private_key GROUP BY use ORDER BY use")
        assert keys == [("account", 1), ("mail", 2)]

    tell(story)


@pytest.mark.parametrize(("verdict", "taken"), [("ok", True), ("untrusted", False), ("bad-signature", False)])
def test_a_challenge_that_is_signed_by_smime_is_taken_when_the_signature_holds(
    tell: Tell, verdict: str, taken: bool
) -> None:
    async def story(work: AtWork) -> None:
        await work.ask()
        await work.turn()
        signed = KnownOpened((Layer("signed", opened=True, signers=(Signer(verdict, (SENDER,)),)),))
        end: Any = await work.bring(work.house.mails[-1], protected="signed", known=signed)
        assert (end is not None) is taken

    tell(story)


def test_a_mail_to_several_is_taken_from_one_and_delivered_to_the_others(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        await work.ask()
        await work.turn()
        end = await work.bring(work.house.mails[-1], to=("bob@inside.test", ALICE))
        assert (end.state, end.outcomes) == ("received", [(ALICE, "answered")])

    tell(story)
