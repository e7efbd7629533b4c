"""Facts are read once, for all addresses of a message, and kept while policy and certificates stand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.decision.facts import FRESH_FOR, Gatherer, Reads
from letterlock.decision.known import AUTHORITY, Facts, Queued
from letterlock.decision.trace import rejections
from letterlock.pki.calls import StoredCtlEntry
from letterlock.pki.certificate import parse
from letterlock.pki.reasons import Reason
from letterlock.policy.effective import StoredSettingInvalid
from tests.fakes.authority import Authority
from tests.fakes.facts import envelope, message

ANN, BOB, CARL = "ann@inside.example", "bob@partner.example", "carl@partner.example"
ORGANISATION = UUID(int=5)


class SettingRow(NamedTuple):
    address: str
    name: str
    value: object
    level: str
    origin: str


class CandidateRow(NamedTuple):
    address: str
    id: UUID
    der: bytes
    key_id: UUID | None
    capabilities: Sequence[str] | None = None
    preferred: bool = False


class Database:
    """What the readers answer, and what they were asked."""

    def __init__(self) -> None:
        self.settings: list[SettingRow] = []
        self.certificates: list[CandidateRow] = []
        self.anchors: list[tuple[bytes, bool]] = []
        self.entries: list[StoredCtlEntry] = []
        self.asked: list[object] = []

    def reads(self) -> Reads:
        return Reads(
            self.read_settings, self.read_domains, self.read_candidates, self.read_authorities, self.read_entries
        )

    async def read_settings(self, addresses: list[str]) -> Sequence[SettingRow]:
        self.asked.append(("settings", sorted(addresses)))
        await asyncio.sleep(0)
        return [row for row in self.settings if row.address in addresses]

    async def read_domains(self) -> Sequence[tuple[str, bool, UUID]]:
        self.asked.append("domains")
        return [("inside.example", True, ORGANISATION)]

    async def read_candidates(self, addresses: list[str]) -> Sequence[CandidateRow]:
        self.asked.append(("candidates", sorted(addresses)))
        return [row for row in self.certificates if row.address in addresses]

    async def read_authorities(self) -> Sequence[tuple[bytes, bool]]:
        self.asked.append("authorities")
        return self.anchors

    async def read_entries(self) -> Sequence[StoredCtlEntry]:
        self.asked.append("ctl_entries")
        return self.entries


NOW = datetime.now(UTC).timestamp()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def database(authority: Authority) -> Database:
    made = Database()
    made.anchors = [(authority.certificate.public_bytes(Encoding.DER), True)]
    for address, key in ((ANN, uuid4()), (BOB, None), (f"{AUTHORITY}@partner.example", None)):
        der = authority.issue(address).certificate.public_bytes(Encoding.DER)
        made.certificates.append(CandidateRow(address, uuid4(), der, key))
    return made


def gather(gatherer: Gatherer, *recipients: str, revision: int = 1, now: float = NOW, by: str = ANN) -> Facts:
    async def ask() -> Facts:
        return await gatherer.gather(
            envelope(by, recipients), recipients, message(recipients), Queued(now, now), revision
        )

    return asyncio.run(ask())


@pytest.mark.req("A5", "B4")
def test_sender_recipient_and_certificates(database: Database) -> None:
    found = gather(Gatherer(database.reads()), BOB, CARL, "ben@inside.example")
    assert found.sender.internal
    assert len(found.sender.signers.chosen) == 1
    bob, carl, ben = found.recipients.values()
    assert (bob.internal, carl.internal, ben.internal) == (False, False, True)
    assert (len(bob.personal.chosen), len(carl.personal.chosen)) == (1, 0)
    assert len(carl.domain_wide.chosen) == 1
    assert ben.organisation == ORGANISATION
    assert ben.locality.origin == "inside.example"


def test_one_reading_for_all_of_a_message_and_none_for_the_next(database: Database) -> None:
    gatherer = Gatherer(database.reads())
    gather(gatherer, BOB, CARL)
    assert database.asked == [
        "domains",
        "ctl_entries",
        "authorities",
        ("settings", sorted([ANN, BOB, CARL])),
        (
            "candidates",
            sorted(
                [
                    *(f"{tie}{each}" for each in (ANN, BOB, CARL) for tie in ("", "@")),
                    *(f"{AUTHORITY}@partner.example", "@partner.example", "@*.example"),
                ]
            ),
        ),
    ]
    database.asked.clear()
    gather(gatherer, BOB)
    gather(gatherer, CARL, BOB)
    assert database.asked == []


def test_a_new_revision_reads_again(database: Database) -> None:
    gatherer = Gatherer(database.reads())
    assert gather(gatherer, BOB).recipients[BOB].terms.asked == "allow"
    database.settings.append(SettingRow(BOB, "encrypt_mode", "mandatory", "domain", "partner.example"))
    assert gather(gatherer, BOB).recipients[BOB].terms.asked == "allow"
    assert gather(gatherer, BOB, revision=2).recipients[BOB].terms.asked == "mandatory"
    assert gather(gatherer, BOB, revision=1).revision == 2


def test_selections_age(database: Database) -> None:
    gatherer = Gatherer(database.reads())
    gather(gatherer, BOB)
    database.asked.clear()
    later = gather(gatherer, BOB, now=NOW + FRESH_FOR)
    assert ("settings", [ANN, BOB]) not in database.asked
    assert len(database.asked) == 1
    assert later.recipients[BOB].personal.chosen


def test_an_expired_certificate_is_not_used_from_its_end_on(database: Database, authority: Authority) -> None:
    end = datetime.fromtimestamp(NOW + 60, UTC)
    der = authority.issue(CARL, not_after=end).certificate.public_bytes(Encoding.DER)
    database.certificates.append(CandidateRow(CARL, uuid4(), der, None))
    gatherer = Gatherer(database.reads())
    assert gather(gatherer, CARL).recipients[CARL].personal.chosen
    late = gather(gatherer, CARL, now=NOW + 61).recipients[CARL].personal
    assert (late.chosen, late.rejected[0].reasons) == ((), (Reason.EXPIRED,))


def entry(digest: bytes, until: datetime | None = None) -> StoredCtlEntry:
    now = datetime.now(UTC)
    return StoredCtlEntry(uuid4(), "deny", "thumbprint", digest, False, "left the firm", "admin", now, until)


@pytest.mark.req("C3")
def test_what_the_trust_list_denies_is_not_used_and_the_trace_names_the_entry(
    database: Database, authority: Authority
) -> None:
    gatherer = Gatherer(database.reads())
    bob = gather(gatherer, BOB).recipients[BOB].personal.chosen[0].certificate
    for revision, denied in enumerate((bob, parse(authority.der)), start=2):
        listed = entry(denied.thumbprint)
        database.entries = [listed]
        found = gather(gatherer, BOB, revision=revision)
        personal = found.recipients[BOB].personal
        assert personal.chosen == ()
        assert Reason.FORBIDDEN in personal.rejected[0].reasons
        (step,) = rejections(BOB, personal)
        assert f"entry {listed.id}" in step.outcome
        assert "left the firm" in step.outcome
    assert found.sender.signers.chosen == ()


@pytest.mark.req("C3")
def test_an_entry_of_the_trust_list_ends_on_time(database: Database, authority: Authority) -> None:
    database.entries = [entry(parse(authority.der).thumbprint, datetime.fromtimestamp(NOW + 60, UTC))]
    gatherer = Gatherer(database.reads())
    assert not gather(gatherer, BOB).recipients[BOB].personal.chosen
    assert gather(gatherer, BOB, now=NOW + 61).recipients[BOB].personal.chosen


@pytest.mark.req("B7")
def test_additional_certificates_and_those_that_are_missing(database: Database) -> None:
    database.settings.append(SettingRow(ANN, "smime_additional_certificates", [CARL, BOB], "gateway", ""))
    bob = gather(Gatherer(database.reads()), BOB).recipients[BOB]
    assert bob.additional.chosen == bob.personal.chosen
    assert bob.missing == (CARL,)


def test_null_sender_has_the_gateways_settings(database: Database) -> None:
    database.settings.append(SettingRow("", "encrypt_mode", "none", "gateway", ""))
    found = gather(Gatherer(database.reads()), BOB, by="")
    assert (found.sender.internal, found.sender.signers.chosen) == (False, ())
    assert found.recipients[BOB].terms.asked == "none"


def test_a_stored_value_that_does_not_fit_stops_the_message(database: Database) -> None:
    database.settings.append(SettingRow(BOB, "encrypt_mode", "mostly", "user", BOB))
    with pytest.raises(StoredSettingInvalid):
        gather(Gatherer(database.reads()), BOB)


def test_messages_of_a_batch_share_one_reading(database: Database) -> None:
    gatherer = Gatherer(database.reads())

    async def batch() -> list[Facts]:
        said = envelope(ANN, [BOB])
        return await asyncio.gather(
            *(gatherer.gather(said, [BOB], message([BOB]), Queued(NOW, NOW), 1) for _ in range(10))
        )

    found = asyncio.run(batch())
    assert len(database.asked) == 5
    assert len({id(each.recipients[BOB]) for each in found}) == 1


def test_a_small_cache_forgets_but_never_lies(database: Database) -> None:
    gatherer = Gatherer(database.reads(), capacity=2)
    for _ in range(3):
        found = gather(gatherer, BOB, CARL, "x@third.example")
        assert found.recipients[BOB].personal.chosen
        assert len(found.recipients) == 3
