"""Who wants a certificate that is not theirs, or to make us talk to somebody else, by way of ACME."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.fetch.reach import Reach
from letterlock.keyholder import jws
from letterlock.keyholder.certify import Statement
from letterlock.keyholder.errors import UseRefused
from letterlock.pki.acme import calls as acme
from letterlock.pki.acme import drive
from letterlock.pki.acme.challenge import jwk
from letterlock.pki.ca import calls
from letterlock.pki.ca import tbs as put_together
from letterlock.vault.errors import KeyRefused
from letterlock.vault.keys import new_id
from tests.fakes.acme_office import ALICE, AtWork, with_house
from tests.fakes.acme_server import SENDER, AcmeServer
from tests.fakes.office import now
from tests.fakes.postgres import Database
from tests.fakes.web import Web

pytestmark = [pytest.mark.slow, pytest.mark.req("C12")]

Tell = Callable[[Callable[[AtWork], Awaitable[None]]], None]


@pytest.fixture
def tell(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    return lambda story: with_house(database, tmp_path, monkeypatch, story)


@pytest.mark.parametrize(
    "forged",
    [
        {"author": "acme-challenge+1@acme.test.evil.test"},
        {"author": "mallory@evil.test"},
        {"reply_to": "mallory@evil.test"},
        {"Auto_Submitted": "no"},
        {"To": "bob@inside.test"},
        {"To": f"{ALICE}, mallory@evil.test"},
        {"Subject": "Re: ACME: 0123456789012345678901234567890123456789"},
        {"first": "short"},
        {"From": f"{SENDER}, mallory@evil.test"},
        {"Subject": "ACME: 0123456789012345678901\r\nSubject: ACME: 0123456789012345678901"},
    ],
    ids=str,
)
def test_a_mail_that_is_not_the_servers_is_ordinary_mail(tell: Tell, forged: dict[str, str]) -> None:
    async def story(work: AtWork) -> None:
        asked = await work.ask()
        await work.turn()
        assert await work.bring(work.house.challenge(**forged)) is None
        assert work.replies == []
        assert (await work.request(asked.id)).reason.startswith("Waits")

    tell(story)


def test_a_mail_in_the_servers_name_without_a_word_that_it_is_automatic_is_taken(tell: Tell) -> None:
    """acme2certifier 0.46 leaves the field out that RFC 8823 3.1 (5) asks for; it is no proof of anything."""

    async def story(work: AtWork) -> None:
        await work.ask()
        await work.turn()
        bare = work.house.challenge().replace(b"Auto-Submitted: auto-generated; type=acme\r\n", b"")
        assert await work.bring(bare) is not None

    tell(story)


def test_nobody_is_answered_who_was_not_asked_for(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        work.house.server.address = ALICE
        assert await work.bring(work.house.challenge()) is None

    tell(story)


def test_a_mail_in_the_servers_name_proves_nothing_and_costs_time_only(tell: Tell) -> None:
    """With another token it gets a reply without worth, to the server, not to its author; then a new order is made."""

    async def story(work: AtWork) -> None:
        asked = await work.ask()
        await work.turn()
        work.house.mails.append(work.house.challenge(first="F" * 30))
        forged = await work.bring(work.house.mails[-1])
        assert forged.notices[0].recipient == SENDER
        work.house.server.take_reply = lambda _: setattr(work.house.server, "refused", True)  # type: ignore[method-assign]  # its own check says no
        work.house.take(work.replies[-1])
        del work.house.server.take_reply
        work.hurry()
        await work.pass_time(3)
        told = await work.request(asked.id)
        assert (told.state, "A new order follows" in told.reason) == ("enrolling", True)
        await work.pass_time(8)
        assert work.house.server.number == 2
        await work.answer()
        await work.pass_time()
        assert (await work.request(asked.id)).state == "done"

    tell(story)


def test_five_mails_are_answered_and_no_more(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        await work.ask()
        await work.turn()
        ends = [await work.bring(work.house.challenge(first=letter * 30)) for letter in "abcdefg"]
        assert [end is not None for end in ends] == [True] * 5 + [False] * 2

    tell(story)


def test_a_server_that_never_believes_is_given_up(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        asked = await work.ask()
        for _ in range(drive.MOST_ORDERS):
            await work.pass_time(8)
            await work.bring(work.house.challenge(first="F" * 30))
            work.house.server.refused = True
            work.hurry()
        await work.pass_time(4)
        failed = await work.request(asked.id)
        assert (failed.state, "did not accept" in failed.reason) == ("failed", True)
        assert work.house.server.number == drive.MOST_ORDERS

    tell(story)


def _other_key(server: AcmeServer) -> bytes:
    return server.certify(ec.generate_private_key(ec.SECP256R1()).public_key(), ALICE)


def _other_address(server: AcmeServer) -> bytes:
    assert server.csr is not None
    return server.certify(server.csr.public_key(), "ceo@inside.test")


def _more_addresses(server: AcmeServer) -> bytes:
    assert server.csr is not None
    return server.certify(server.csr.public_key(), [ALICE, "ceo@inside.test"])  # type: ignore[arg-type]  # issue takes both


@pytest.mark.parametrize(
    ("issued", "why"),
    [(_other_key, "another key"), (_other_address, "another address"), (_more_addresses, "another address")],
)
def test_another_certificate_than_the_one_asked_for_is_not_kept(
    tell: Tell, issued: Callable[[AcmeServer], bytes], why: str
) -> None:
    async def story(work: AtWork) -> None:
        work.house.server.issued = issued
        asked = await work.ask()
        await work.turn()
        await work.answer()
        await work.pass_time()
        failed = await work.request(asked.id)
        assert (failed.state, why in failed.reason) == ("failed", True)
        assert work.desks.scene.world.ask("SELECT count(*) FROM pki.certificate") == [(0,)]

    tell(story)


def test_what_was_sent_before_is_not_taken_again_and_nothing_is_lost(tell: Tell) -> None:
    """The fetch station dies after it has sent: the same octets go out once more, and the server refuses the nonce."""

    async def story(work: AtWork) -> None:
        asked = await work.ask()
        world = work.desks.scene.world
        while not any(each.startswith("POST /orders") for each in work.house.server.told):
            await drive.work(work.desks.housekeeping, now())
            for each in await acme.take_exchanges(world.fetch, max=4, lease_for=timedelta(minutes=1)):
                if each.url.endswith("/orders"):
                    await work.exchanges.answer(each._replace(lease=new_id()))  # sent; what came back is lost
                    world.do("UPDATE acme.enrolment SET fetch_at = statement_timestamp()")
                else:
                    await work.exchanges.answer(each)
        before = work.house.server.number
        await work.turn()
        assert "badNonce" not in (await work.request(asked.id)).reason
        assert work.house.server.number == before + 1, "ordered anew under a nonce of its own"
        assert (await work.request(asked.id)).reason.startswith("Waits")

    tell(story)


@pytest.mark.parametrize("where", ["http://127.0.0.1:{port}/x", "https://localhost:{port}/x"])
def test_a_redirect_is_not_followed(tell: Tell, where: str) -> None:
    async def story(work: AtWork) -> None:
        with Web() as inside:
            inside.give("/x", b"{}")
            work.house.web.redirect("/directory", where.format(port=inside.port))
            asked = await work.ask()
            await work.turn()
            failed = await work.request(asked.id)
            assert (failed.state, "elsewhere" in failed.reason) == ("failed", True)
            assert inside.requests == []

    tell(story)


def test_a_private_address_is_not_spoken_to_unless_it_is_listed(tell: Tell) -> None:
    async def story(work: AtWork) -> None:
        work.exchanges.reach = Reach((), work.exchanges.reach._look_up, work.exchanges.reach._tls)
        asked = await work.ask()
        await work.turn()
        assert "may not be reached" in (await work.request(asked.id)).reason
        assert work.house.web.requests == []

    tell(story)


@pytest.mark.parametrize("url", ["https://localhost:1/directory", "https://other.test/directory", "http://localhost/x"])
def test_the_fetch_station_speaks_to_the_set_server_only_whatever_housekeeping_says(tell: Tell, url: str) -> None:
    async def story(work: AtWork) -> None:
        asked = await work.ask()
        world = work.desks.scene.world
        world.do("UPDATE acme.enrolment SET method = 'POST', url = %s, asked = 'x'", url)
        await work.talk()
        ((fault,),) = world.ask("SELECT fault FROM acme.enrolment WHERE request = %s", asked.id)
        assert "is not the ACME server that is set" in fault
        assert work.house.web.requests == []

    tell(story)


def test_an_accounts_key_signs_for_nobody_else(tell: Tell) -> None:
    """Not for a person, not by the authority's door, not for flow, and no order twice."""

    async def story(work: AtWork) -> None:
        asked = await work.ask()
        desks, world = work.desks, work.desks.scene.world
        ((account,),) = world.ask("SELECT account FROM acme.enrolment")
        signing = b"e30.e30"
        for office in (desks.person, desks.housekeeping):
            answer = await calls.order_signature(
                office.gate,
                token=office.token,
                id=new_id(),
                kind="request",
                key_id=account,
                request=asked.id if office is desks.housekeeping else None,
                tbs=signing,
            )
            assert answer == "not-found"
        order = new_id()
        assert await acme.order_jws(desks.housekeeping.gate, id=order, request=asked.id, tbs=signing) == "done"
        with pytest.raises(KeyRefused):
            await desks.person.keyholder.carry_out(order, desks.person.token)
        with pytest.raises(KeyRefused):
            await desks.housekeeping.keyholder.carry_out(order, b"")  # read, and refused: it is no request
        with pytest.raises(KeyRefused):
            await desks.housekeeping.keyholder.carry_out(order, b"")  # used
        assert await acme.order_jws(desks.housekeeping.gate, id=new_id(), request=new_id(), tbs=signing) == "not-found"

    tell(story)


KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
URL = "https://acme.test/order"


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _csr(address: str, key: Any) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(put_together.name("x"))
    made = builder.add_extension(put_together.alternative_name(address), critical=False).sign(key, hashes.SHA256())
    return b64(made.public_bytes(Encoding.DER))


def statement(payload: Any, **head: Any) -> bytes:
    protected = {"alg": "ES256", "nonce": "n", "url": URL, "kid": "https://acme.test/7", **head}
    protected = {name: value for name, value in protected.items() if value is not None}
    tbs = f"{b64(json.dumps(protected).encode())}.{b64(json.dumps(payload).encode()) if payload is not None else ''}"
    return msgspec.msgpack.encode(Statement("acme", tbs.encode(), b"https://acme.test/", ALICE, SPKI))


@pytest.mark.parametrize(
    "said",
    [
        statement(None),
        statement({}),
        statement({"contact": ["mailto:a@b.test"], "termsOfServiceAgreed": True}, kid=None, jwk=jwk(SPKI)),
        statement({"identifiers": [{"type": "email", "value": ALICE}]}),
        statement({"csr": _csr(ALICE, KEY)}),
    ],
)
def test_what_an_enrolment_says_is_signed(said: bytes) -> None:
    signature = jws.sign(KEY, said)
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    signed = msgspec.msgpack.decode(said, type=Statement).tbs
    KEY.public_key().verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))


_OTHER = ec.generate_private_key(ec.SECP256R1())
_OTHER_SPKI = _OTHER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "said",
    [
        statement({"identifiers": [{"type": "email", "value": "ceo@inside.test"}]}),
        statement({"identifiers": [{"type": "dns", "value": "inside.test"}]}),
        statement({"identifiers": [{"type": "email", "value": ALICE}], "notAfter": "2099-01-01T00:00:00Z"}),
        statement({"csr": _csr("ceo@inside.test", KEY)}),
        statement({"csr": _csr(ALICE, _OTHER)}),
        statement({"csr": "AAAA"}),
        statement({"certificate": "AAAA"}),  # RFC 8555 7.6: revocation
        statement({"status": "deactivated"}),
        statement({"account": "x", "oldKey": {}}),
        statement([1]),
        statement({}, url="https://acme.test.evil.test/order"),
        statement({}, url="https://evil.test/"),
        statement({}, alg="HS256"),
        statement({}, crit=["x"]),
        statement({}, kid=None, jwk=jwk(_OTHER_SPKI)),
        msgspec.msgpack.encode(Statement("acme", b"\xff\xfe", b"https://acme.test/", ALICE, SPKI)),
        msgspec.msgpack.encode(Statement("crl", b"e30.e30", b"https://acme.test/", ALICE, SPKI)),
    ],
)
def test_nothing_else_is_signed(said: bytes) -> None:
    with pytest.raises(UseRefused):
        jws.sign(KEY, said)


def test_no_other_kind_of_key_signs_requests() -> None:
    with pytest.raises(UseRefused):
        jws.sign(ec.generate_private_key(ec.SECP384R1()), statement({}))
