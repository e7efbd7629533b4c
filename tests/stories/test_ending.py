"""Certificates that end: renewed where they came from, and told of by mail, by a clock that is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.flow import warnings
from letterlock.pki import calls as pki
from letterlock.pki.ca import calls, pending, profile
from letterlock.pki.ca.issue import Subject, issue
from letterlock.pki.certificate import Certificate, parse
from letterlock.policy import calls as policy
from letterlock.queue import calls as queue
from letterlock.queue.columns import columns
from letterlock.vault.keys import new_id
from tests.fakes.acme_office import AtWork, with_house
from tests.fakes.authority import Authority, Identity
from tests.fakes.office import Desks, now, office
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.slow, pytest.mark.req("C13")]

ALICE, POSTMASTER = "alice@inside.test", "postmaster@inside.test"
ELSEWHERE = Authority.create("Elsewhere")


def at_work(database: Database, state: Path, story: Callable[[Desks], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with office(database, state) as desks:
            await quick_profile(desks)
            await story(desks)

    asyncio.run(tell())


async def quick_profile(desks: Desks) -> None:
    body = profile.plain(profile.made({"key": "ec-p256", "renew_days": 20, "days": 90}))
    gate, token = desks.person.gate, desks.person.token
    await calls.set_profile(gate, token=token, organisation=desks.organisation, name="smime", body=body)


async def keep(desks: Desks, certificate: Certificate, key: UUID) -> UUID:
    """As ``certificate import`` and ``ca pending answer`` do."""
    kept = await pki.import_certificate(
        desks.person.gate,
        token=desks.person.token,
        id=new_id(),
        organisation=None,
        der=certificate.der,
        fingerprint=certificate.thumbprint,
        subject=certificate.subject,
        issuer=certificate.issuer,
        serial=certificate.issuer_serial,
        ski=certificate.key_identifier,
        spki=certificate.spki,
        addresses=certificate.addresses,
        is_ca=False,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        key_id=key,
    )
    assert kept.id is not None
    return kept.id


async def by_hand(desks: Desks, days: int, address: str = ALICE) -> UUID:
    """A certificate with its key, brought by a person."""
    made: Identity = ELSEWHERE.issue(address, "p256", not_after=now().replace(microsecond=0) + timedelta(days=days))
    key = await desks.person.keyholder.import_key(desks.person.token, desks.organisation, made.pkcs8)
    return await keep(desks, parse(made.der), key)


async def mailed(desks: Desks) -> list[tuple[str, str]]:
    """Whom the flow now mails, and the text."""
    session = await desks.scene.house.client("flow").session()
    crafts: Any = SimpleNamespace(
        gate=desks.scene.world.flow, sealer=SimpleNamespace(session=lambda: session), store=desks.scene.store
    )
    found: list[tuple[str, str]] = []
    notice = warnings.notice

    def noted(row: calls.Warned, at: float) -> bytes:
        octets = notice(row, at)
        mail = message_from_bytes(octets)
        assert mail["To"] == row.recipient
        found.append((row.recipient, mail.get_payload()))
        return octets

    warnings.notice = noted
    try:
        while await warnings.mail(crafts):
            continue
    finally:
        warnings.notice = notice
    return sorted(found)


def test_owner_and_postmaster_are_warned_once_a_step(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        await by_hand(desks, 60)
        readers: list[list[str]] = []
        for day in (0, 29, 31, 32, 40, 54, 55, 59, 59, 61):
            await pending.work(desks.housekeeping, now() + timedelta(days=day))
            readers.append([reader for reader, _ in await mailed(desks)])
        both = [ALICE, POSTMASTER]
        assert readers == [[], [], both, [], [], both, [], both, [], []]
        world = desks.scene.world
        assert world.ask("SELECT count(*) FROM queue.message WHERE sender = ''") == [(6,)]
        assert world.ask("SELECT count(*) FROM audit.entry WHERE action = 'ca.warn'") == [(3,)]

    at_work(database, tmp_path, story)


def test_a_warning_says_what_is_to_be_done(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        await by_hand(desks, 20)
        await pending.work(desks.housekeeping, now())
        _, (_, text) = await mailed(desks)
        assert "by hand" in text
        assert "letterlock certificate import" in text

    at_work(database, tmp_path, story)


def test_a_crash_between_queue_and_note_mails_nothing_twice(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        await by_hand(desks, 20)
        await pending.work(desks.housekeeping, now())
        world = desks.scene.world
        for _ in range(2):
            await mailed(desks)
            world.do("UPDATE ca.warning SET mailed_at = NULL, due_at = statement_timestamp()")
        assert world.ask("SELECT count(*) FROM queue.message") == [(2,)]

    at_work(database, tmp_path, story)


def test_what_is_replaced_or_nobody_of_ours_is_left_alone(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        await by_hand(desks, 20)
        await by_hand(desks, 300)
        await by_hand(desks, 20, "bob@outside.test")
        await pending.work(desks.housekeeping, now())
        assert await mailed(desks) == []

    at_work(database, tmp_path, story)


def test_steps_and_postmaster_are_settings(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        await by_hand(desks, 20)
        await by_hand(desks, 20, "carol@inside.test")
        gate, token = desks.person.gate, desks.person.token
        for level, scope, name, value in (
            ("gateway", "", "postmaster", "pki@inside.test"),
            ("user", "carol@inside.test", "certificate_warnings", ["90"]),
            ("user", ALICE, "certificate_warnings", ["5"]),
        ):
            await policy.set(gate, token=token, level=level, scope=scope, name=name, value=value)
        await pending.work(desks.housekeeping, now())
        assert [reader for reader, _ in await mailed(desks)] == ["carol@inside.test", "pki@inside.test"]

    at_work(database, tmp_path, story)


def test_what_renews_itself_is_told_of_only_when_that_did_not_work(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(desks: Desks) -> None:
        issuing = await desks.found()
        shaped = ("smime", profile.made({"key": "ec-p256", "days": 90}))
        await issue(desks.person, issuing, shaped, Subject(ALICE), now())
        await pending.work(desks.housekeeping, now() + timedelta(days=61))
        assert await mailed(desks) == [], "30 days left, renewal due at 20"
        monkeypatch.setattr(pending, "HANDLERS", {})
        monkeypatch.setattr(pending, "_ask_for_renewals", _nothing)
        await pending.work(desks.housekeeping, now() + timedelta(days=84))
        (_, text), _ = await mailed(desks)
        assert "automatic" in text
        assert "was not" in text

    at_work(database, tmp_path, story)


async def _nothing(*_: object) -> None:
    """No renewal."""


@pytest.mark.req("C6")
def test_a_certificate_by_pkcs10_gets_a_new_request(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        wish = pending.Wish("pkcs10", "", "smime", desks.organisation)
        _, first = await pending.ask(desks.person, Subject(ALICE, "Alice A"), wish)
        await pending.work(desks.housekeeping, now())
        answered = await answer(desks, 60)
        assert answered.id == first
        await pending.work(desks.housekeeping, now() + timedelta(days=39))
        assert await open_requests(desks) == [], "too early"
        for day in (41, 42):
            await pending.work(desks.housekeeping, now() + timedelta(days=day))
        (renewal,) = await open_requests(desks)
        assert (renewal.handler, renewal.source, renewal.state) == ("pkcs10", "renewal", "certificate")
        assert (renewal.name, renewal.key_id != answered.key_id) == ("Alice A", True)
        assert renewal.csr is not None
        mails = await mailed(desks)
        assert [reader for reader, _ in mails] == [ALICE, POSTMASTER]
        assert f"letterlock ca pending csr {renewal.id}" in mails[0][1]
        await answer(desks, 200)
        await pending.work(desks.housekeeping, now() + timedelta(days=55))
        assert await mailed(desks) == [], "replaced"
        own = await pki.candidates(desks.scene.world.flow, addresses=[ALICE])
        assert len(own) == 2, "both hold for a while"

    at_work(database, tmp_path, story)


async def open_requests(desks: Desks) -> list[calls.Request]:
    return list(await calls.requests(desks.person.gate, token=desks.person.token))


async def answer(desks: Desks, days: int) -> calls.Request:
    """The authority elsewhere answers the open request, as an administrator brings it back."""
    (asked,) = await open_requests(desks)
    assert asked.csr is not None
    assert asked.key_id is not None
    csr = x509.load_der_x509_csr(asked.csr)
    holder: Any = SimpleNamespace(public_key=csr.public_key)
    made = ELSEWHERE.issue(asked.address, holder, not_after=now().replace(microsecond=0) + timedelta(days=days))
    certificate = parse(made.certificate.public_bytes(Encoding.DER))
    assert certificate.spki == csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kept = await keep(desks, certificate, asked.key_id)
    await calls.put_request(
        desks.person.gate,
        token=desks.person.token,
        id=asked.id,
        state="done",
        reason="",
        due_at=now(),
        key_id=None,
        csr=None,
        issued=kept,
    )
    return asked


@pytest.mark.req("C12")
def test_a_certificate_by_acme_is_renewed_by_acme(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(work: AtWork) -> None:
        desks = work.desks
        body = profile.plain(profile.made({"key": "ec-p256", "renew_days": 20}))
        gate, token = desks.person.gate, desks.person.token
        await calls.set_profile(gate, token=token, organisation=desks.organisation, name="smime", body=body)
        asked = await work.ask()
        await work.turn()
        await work.answer()
        await work.pass_time()
        assert (await work.request(asked.id)).state == "done"

        async def at(day: int) -> list[calls.Request]:
            moment: datetime = now() + timedelta(days=day)
            await pending.work(desks.housekeeping, moment)
            return await open_requests(desks)

        assert await at(340) == []
        (renewal,) = await at(350)
        assert (renewal.handler, renewal.source) == ("acme", "renewal")
        desks.scene.world.do(
            "UPDATE ca.request SET state = 'failed', requested_at = requested_at + interval '350 days'"
            " WHERE source = 'renewal'"
        )
        assert [each.state for each in await at(350)] == ["failed"], "not again at once"
        assert sorted(each.state for each in await at(352)) == ["enrolling", "failed"]
        assert await mailed(desks) == [], "it renews itself"

    with_house(database, tmp_path, monkeypatch, story)


def test_the_queue_takes_a_notice_once(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        sealed, _ = await desks.scene.seal(await desks.scene.house.client("flow").session())
        for _ in range(2):
            await queue.notify(desks.scene.world.flow, **columns([sealed]), recipients=[ALICE])
        assert desks.scene.world.ask("SELECT address FROM queue.recipient") == [(ALICE,)]

    at_work(database, tmp_path, story)
