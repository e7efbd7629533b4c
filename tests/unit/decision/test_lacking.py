"""What is missing is noted by the gatherer: once, only when it would help, and never kept as if nothing were."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest

from letterlock.decision import lacking
from letterlock.decision.facts import FRESH_FOR, Gatherer, Reads
from letterlock.decision.known import Facts, Queued
from letterlock.pki.calls import StoredCtlEntry
from letterlock.pki.certificate import parse
from tests.fakes.authority import Authority, Identity
from tests.fakes.facts import envelope, message
from tests.fakes.published import access, crl_at
from tests.unit.decision.test_facts import NOW, CandidateRow, SettingRow

ANN, BOB, CARL = "ann@inside.example", "bob@partner.example", "carl@partner.example"
URL = "http://crl.partner.example/ca.crl"


class Row(NamedTuple):
    open: bool
    answer: str


class Database:
    """The readers and pki.want; ``answers`` by kind and name."""

    def __init__(self, authority: Authority) -> None:
        self.settings: list[SettingRow] = []
        self.people: list[tuple[str, Identity, UUID | None]] = []
        self.authority = authority
        self.answers: dict[str, Row] = {}
        self.wanted: list[list[str]] = []
        self.candidates = 0

    def set(self, name: str, value: Any, address: str = "") -> None:
        """A setting of everybody, or of one address."""
        for one in [address] if address else [ANN, BOB, CARL]:
            self.settings.append(SettingRow(one, name, value, "user" if address else "gateway", address))

    def reads(self, *, noting: bool = True) -> Reads:
        async def settings(addresses: list[str]) -> Sequence[SettingRow]:
            return [row for row in self.settings if row.address in addresses]

        async def domains() -> Sequence[tuple[str, bool, UUID]]:
            return [("inside.example", True, UUID(int=5))]

        async def candidates(addresses: list[str]) -> Sequence[CandidateRow]:
            self.candidates += 1
            return [
                CandidateRow(address, uuid4(), who.der, key)
                for address, who, key in self.people
                if address in addresses
            ]

        async def authorities() -> Sequence[tuple[bytes, bool]]:
            return [(self.authority.der, True)]

        async def want(*, kinds: Sequence[str], names: Sequence[str], **_: Any) -> list[Row]:
            things = [f"{kind} {name}" for kind, name in zip(kinds, names, strict=True)]
            self.wanted.append(things)
            return [self.answers.get(each, Row(True, "")) for each in things]

        async def entries() -> Sequence[StoredCtlEntry]:
            return ()

        return Reads(settings, domains, candidates, authorities, entries, want if noting else None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def database(authority: Authority) -> Database:
    return Database(authority)


def _gather(gatherer: Gatherer, *to: str, now: float = NOW, paths: Any = ()) -> Facts:
    said = envelope(ANN, to)
    return asyncio.run(gatherer.gather(said, to, message(to), Queued(now, now), 1, paths))


@pytest.mark.req("C14")
def test_an_address_without_a_certificate_is_looked_up_where_the_settings_say(database: Database) -> None:
    assert not _gather(Gatherer(database.reads()), BOB).open
    assert database.wanted == []  # by default nowhere
    database.set("smimea_lookup", True)
    database.set("certificate_directories", ["ldap://d.example/dc=x"])
    gatherer = Gatherer(database.reads())
    found = _gather(gatherer, BOB, CARL, "ben@inside.example")
    assert found.open
    assert database.wanted == [[f"directory {BOB}", f"smimea {BOB}", f"directory {CARL}", f"smimea {CARL}"]]
    assert [each.what for each in found.recipients[BOB].lacking] == [
        f"certificates of {BOB} in directories",
        f"the SMIMEA record of {BOB}",
    ]


@pytest.mark.req("C14")
@pytest.mark.parametrize(
    ("name", "value"), [("encrypt_mode", "none"), ("smime_enabled", False), ("method_order", ["portal"])]
)
def test_nobody_is_looked_up_for_nothing(database: Database, name: str, value: Any) -> None:
    database.set("smimea_lookup", True)
    database.set(name, value, BOB)
    assert not _gather(Gatherer(database.reads()), BOB).open
    assert database.wanted == []


@pytest.mark.req("C14")
def test_what_certificates_are_tied_to_is_no_address_to_look_up(database: Database) -> None:
    database.set("smimea_lookup", True)
    database.set("certificate_directories", ["ldap://d.example/dc=x"])
    facts = _gather(Gatherer(database.reads()), BOB).recipients[BOB]
    allowed = lacking.Allowed(True, True, True, True)
    for scope in ("@partner.example", f"@{BOB}", "@*.example", "*.example", "partner.example", ""):
        assert list(lacking.of_address(scope, facts.terms, facts.personal, allowed)) == []
    assert [each.name for each in lacking.of_address(BOB, facts.terms, facts.personal, allowed)] == [BOB, BOB]
    assert [name for things in database.wanted for name in things] == [f"directory {BOB}", f"smimea {BOB}"]


def test_one_who_has_a_certificate_is_not_looked_up(database: Database, authority: Authority) -> None:
    database.set("smimea_lookup", True)
    database.people = [(BOB, authority.issue(BOB, "p256"), None)]
    assert not _gather(Gatherer(database.reads()), BOB).open
    assert database.wanted == []


@pytest.mark.req("C2")
def test_crls_of_those_who_are_used_and_of_the_signer(database: Database, authority: Authority) -> None:
    reader = authority.issue(BOB, "p256", extensions=[crl_at(URL)])
    signer = authority.issue(ANN, "p256", extensions=[crl_at(URL + "2")])
    unknown = Authority.create("Other").issue(BOB, "p256", extensions=[crl_at(URL + "3")])
    database.people = [(BOB, reader, None), (BOB, unknown, None), (ANN, signer, uuid4())]
    found = _gather(Gatherer(database.reads()), BOB)
    assert database.wanted == [[f"crl {URL}2", f"crl {URL}"]]  # never of one that leads to no anchor of ours
    assert found.sender.lacking and found.recipients[BOB].lacking
    database.set("fetch_revocation", False)
    database.wanted.clear()
    assert not _gather(Gatherer(database.reads()), BOB).open
    assert database.wanted == []


@pytest.mark.req("C2")
def test_an_issuer_that_is_missing(database: Database, authority: Authority) -> None:
    between = authority.intermediate()
    at = "http://ca.partner.example/between.cer"
    reader = between.issue(BOB, "p256", extensions=[access(issuer_at=at)])
    database.people = [(BOB, reader, None)]
    assert _gather(Gatherer(database.reads()), BOB).open
    assert database.wanted == [[f"issuer {at}"]]
    database.wanted.clear()
    database.people = [(BOB, between.issue(CARL, "p256", extensions=[access(issuer_at=at)]), None)]
    assert not _gather(Gatherer(database.reads()), BOB).open  # it would not help somebody else's certificate
    database.set("fetch_issuers", False)
    database.people = [(BOB, reader, None)]
    assert not _gather(Gatherer(database.reads()), BOB).open
    assert database.wanted == []


@pytest.mark.req("C2")
def test_the_signers_of_incoming_mail(database: Database, authority: Authority) -> None:
    signer = authority.issue(BOB, "p256", extensions=[crl_at(URL)])
    path = (parse(signer.der), parse(authority.der))
    gatherer = Gatherer(database.reads())
    found = _gather(gatherer, "ben@inside.example", paths=[path])
    assert [each.what for each in found.lacking] == ["the CRL at crl.partner.example"]
    assert found.open


@pytest.mark.req("C2")
def test_nothing_is_kept_while_something_may_come(database: Database, authority: Authority) -> None:
    database.people = [(BOB, authority.issue(BOB, "p256", extensions=[crl_at(URL)]), None)]
    gatherer = Gatherer(database.reads())
    assert _gather(gatherer, BOB).open
    assert _gather(gatherer, BOB, now=NOW + 0.1).open  # of the same batch: from memory
    assert database.candidates == 1
    database.answers[f"crl {URL}"] = Row(False, "found")
    assert _gather(gatherer, BOB, now=NOW + 1).open  # it came after the candidates were read
    assert not _gather(gatherer, BOB, now=NOW + 2).open
    asked = (database.candidates, len(database.wanted))
    for second in range(3, 100):
        assert not _gather(gatherer, BOB, now=NOW + second).open
    assert (database.candidates, len(database.wanted)) == asked  # the ordinary path makes no call


@pytest.mark.req("C2")
def test_what_failed_is_told_and_kept(database: Database, authority: Authority) -> None:
    database.people = [(BOB, authority.issue(BOB, "p256", extensions=[crl_at(URL)]), None)]
    database.answers[f"crl {URL}"] = Row(False, "failed")
    gatherer = Gatherer(database.reads())
    found = _gather(gatherer, BOB)
    assert not found.open and found.recipients[BOB].lacking
    asked = database.candidates
    _gather(gatherer, BOB, now=NOW + FRESH_FOR - 1)
    assert database.candidates == asked


def test_explain_notes_nothing(database: Database) -> None:
    database.set("smimea_lookup", True)
    assert not _gather(Gatherer(database.reads(noting=False)), BOB).open
    assert database.wanted == []
