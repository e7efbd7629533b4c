"""The certificate authority with its real parts, database, keyholder and signers, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import ocsp

from letterlock.errors import TemporaryError
from letterlock.pki import calls as pki
from letterlock.pki.ca import bulk, calls, handover, pending, profile, publish, request
from letterlock.pki.ca.errors import AuthorityError, NoAuthority, RequestInvalid
from letterlock.pki.ca.issue import Office, Subject, issue
from letterlock.pki.ca.request import Outcome
from letterlock.pki.ca.revoke import revoke
from letterlock.pki.select import candidate, signing_certificate
from letterlock.pki.trust import Trust
from letterlock.policy import calls as policy
from tests.fakes.office import Desks, now, office
from tests.fakes.postgres import Database

pytestmark = [pytest.mark.slow]

ALICE = "alice@inside.test"
QUICK = ("smime", profile.Profile(key="ec-p256"))


def at_work(database: Database, state: Path, story: Callable[[Desks], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with office(database, state) as desks:
            await story(desks)

    asyncio.run(tell())


async def quick_profile(desks: Desks, **values: object) -> None:
    """Keys that are made at once."""
    body = profile.plain(profile.made({"key": "ec-p256", **values}))
    await calls.set_profile(
        desks.person.gate, token=desks.person.token, organisation=desks.organisation, name="smime", body=body
    )


async def requests(desks: Desks, **which: object) -> list[calls.Request]:
    found = await calls.requests(desks.person.gate, token=desks.person.token, **which)  # type: ignore[arg-type]
    return list(found)


@pytest.mark.req("C5")
@pytest.mark.parametrize("key", ["ec-p256", "ec-p384", "rsa-3072"])
def test_root_and_issuing_authority_in_one_step(database: Database, tmp_path: Path, key: str) -> None:
    async def story(desks: Desks) -> None:
        issuing = await desks.found("House", key)
        root, again = await calls.authorities(desks.person.gate, token=desks.person.token)
        assert (root.kind, again.id) == ("root", issuing.id)
        top, below = (x509.load_der_x509_certificate(each.der) for each in (root, issuing))
        below.verify_directly_issued_by(top)
        assert isinstance(below.public_key(), rsa.RSAPublicKey if key.startswith("rsa") else ec.EllipticCurvePublicKey)
        assert below.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
        with pytest.raises(AuthorityError, match="already"):
            await desks.found("House")

    at_work(database, tmp_path, story)


@pytest.mark.req("C5")
def test_a_certificate_is_its_addresss_signer_and_says_what_its_profile_says(
    database: Database, tmp_path: Path
) -> None:
    async def story(desks: Desks) -> None:
        issuing = await desks.found()
        shaped = profile.made({"key": "ec-p384", "days": 90, "ocsp": False, "organisation": "Inside", "country": "NL"})
        made = await issue(desks.person, issuing, ("short", shaped), Subject("Alice@INSIDE.test", "Alice A"), now())
        certificate = made.certificate
        assert certificate.addresses == (ALICE,)
        assert certificate.key_usage == {"digital_signature", "key_agreement"}
        assert certificate.purposes == {"1.3.6.1.5.5.7.3.4"}
        assert certificate.subject == "CN=Alice A,O=Inside,C=NL"
        assert abs(certificate.not_after - now() - timedelta(days=90)) < timedelta(minutes=1)
        access = certificate.parsed.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        assert [each.access_location.value for each in access] == [f"{issuing.url}/ca/{issuing.label}.crt"]
        points = certificate.parsed.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert points[0].full_name is not None
        assert points[0].full_name[0].value == f"{issuing.url}/crl/{issuing.label}.crl"
        rows = await pki.candidates(desks.scene.world.flow, addresses=[ALICE])
        candidates = [candidate(row.id, row.der, row.key_id) for row in rows]
        root = (await calls.authorities(desks.person.gate, token=desks.person.token))[0]
        trust = Trust.of_rows([(root.der, True), (issuing.der, False)])
        chosen = signing_certificate(ALICE, [each for each in candidates if each], trust, now())
        assert [each.id for each in chosen.chosen] == [made.id]

    at_work(database, tmp_path, story)


@pytest.mark.req("C5")
def test_lists_are_numbered_and_answers_follow_a_revocation(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        issuing = await desks.found()
        made = await issue(desks.person, issuing, QUICK, Subject(ALICE), now())
        assert await publish.refresh(desks.person, now()) == (2, 1)
        assert await publish.refresh(desks.person, now()) == (0, 0)
        issuer = x509.load_der_x509_certificate(issuing.der)
        admin = desks.scene.world.admin

        async def published() -> tuple[int, list[int], ocsp.OCSPResponse]:
            found = await calls.published_list(admin, label=issuing.label)
            assert found is not None
            crl = x509.load_der_x509_crl(found[0])
            assert crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # an EC key
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            key_hash = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key()).digest
            number_octets = made.certificate.serial.to_bytes(16, "big")
            answer = await calls.published_answer(admin, key_hash=key_hash, number=number_octets)
            assert answer is not None
            return number, [each.serial_number for each in crl], ocsp.load_der_ocsp_response(answer)

        number, revoked, answer = await published()
        assert (number, revoked, answer.certificate_status) == (1, [], ocsp.OCSPCertStatus.GOOD)
        assert await revoke(desks.person, made.id, "keyCompromise", now()) == "done"
        assert await revoke(desks.person, made.id, "keyCompromise", now()) == "already"
        number, revoked, answer = await published()
        assert (number, revoked) == (2, [made.certificate.serial])
        assert answer.certificate_status == ocsp.OCSPCertStatus.REVOKED
        assert answer.revocation_reason == x509.ReasonFlags.key_compromise
        assert await pki.candidates(desks.scene.world.flow, addresses=[ALICE]) == []
        own = await pki.own_certificates(desks.scene.world.flow, serials=[made.certificate.issuer_serial], skis=[])
        assert [(each.id, each.addresses) for each in own] == [(made.id, [ALICE])], "its key still decrypts"

    at_work(database, tmp_path, story)


@pytest.mark.req("C5")
def test_housekeeping_makes_the_next_list_without_anybody(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        await desks.found()
        await pending.work(desks.housekeeping, now())
        await pending.work(desks.housekeeping, now() + publish.LIST_EVERY + timedelta(minutes=1))
        rows = await calls.authorities(desks.person.gate, token=desks.person.token)
        assert [each.crl_number for each in rows] == [2, 2]
        later = now() + publish.LIST_EVERY + publish.LIST_HOLDS
        assert all(each.crl_until is not None and each.crl_until > later for each in rows)

    at_work(database, tmp_path, story)


class Elsewhere:
    """A handler of a test: an authority that answers at once, or not yet."""

    def __init__(self, faults: int) -> None:
        self.faults = faults

    async def carry_out(self, office: Office, asked: calls.Request, at: object) -> Outcome:
        if self.faults:
            self.faults -= 1
            raise TemporaryError("It does not answer.")
        return Outcome("done")


@pytest.mark.req("C6")
@pytest.mark.parametrize("name", ["builtin", "delayed", "pkcs10", "fake"])
def test_what_every_handler_keeps(
    database: Database, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract: it ends done or waiting for its certificate, and asked again it makes nothing twice."""

    async def story(desks: Desks) -> None:
        if name == "fake":
            monkeypatch.setattr(pending, "HANDLERS", {"builtin": Elsewhere(0)})
        await desks.found()
        await quick_profile(desks)
        handler = "builtin" if name == "fake" else name
        wish = pending.Wish(handler, "", "smime", desks.organisation)
        answer, request_id = await pending.ask(desks.person, Subject(ALICE), wish)
        assert answer == "done"
        assert await pending.ask(desks.person, Subject(ALICE), wish) == ("already", request_id)
        (asked,) = await requests(desks)
        if name == "delayed":
            assert asked.state == "approval"
            await pending.work(desks.housekeeping, now())
            assert (await requests(desks))[0].state == "approval", "housekeeping does not approve"
            assert request_id is not None
            gate, token = desks.person.gate, desks.person.token
            assert await calls.decide_request(gate, token=token, id=request_id, verdict="approve") == "done"
        await pending.work(desks.housekeeping, now())
        await pending.carry_out(desks.housekeeping, asked, now())  # as after a crash: the same old row once more
        (ended,) = await requests(desks, id=request_id)
        assert ended.state == ("certificate" if name == "pkcs10" else "done")
        given = await calls.issued(desks.person.gate, token=desks.person.token, address=ALICE, id=None, max=9)
        assert len(given) == (name in ("builtin", "delayed"))

    at_work(database, tmp_path, story)


@pytest.mark.req("C6")
def test_a_request_for_an_authority_elsewhere_goes_out_and_takes_its_answer(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        issuing = await desks.found()
        await quick_profile(desks)
        wish = pending.Wish("pkcs10", "", "smime", desks.organisation)
        _, request_id = await pending.ask(desks.person, Subject(ALICE, "Alice"), wish)
        await pending.work(desks.housekeeping, now())
        (asked,) = await requests(desks, id=request_id)
        assert asked.csr is not None
        csr = x509.load_der_x509_csr(asked.csr)
        assert csr.is_signature_valid
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.RFC822Name) == [ALICE]
        other = await issue(desks.person, issuing, QUICK, Subject(ALICE), now())
        with pytest.raises(RequestInvalid, match="another key"):
            request.check_answer(asked, other.certificate.der)

    at_work(database, tmp_path, story)


@pytest.mark.req("C7")
def test_a_request_is_tried_again_and_gives_up_in_the_end(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(desks: Desks) -> None:
        await desks.found()
        monkeypatch.setattr(pending, "HANDLERS", {"builtin": Elsewhere(99)})
        _, request_id = await pending.ask(desks.person, Subject(ALICE), pending.Wish(organisation=desks.organisation))
        waits = []
        for _ in range(pending.MOST_TRIES):
            (asked,) = await requests(desks, id=request_id)
            at = now()
            await pending.carry_out(desks.housekeeping, asked, at)
            (asked,) = await requests(desks, id=request_id)
            waits.append(asked.due_at - at)
            assert asked.reason == "It does not answer."
        assert waits[:3] == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
        assert max(waits) == pending.LONGEST_WAIT
        assert asked.state == "failed"

    at_work(database, tmp_path, story)


@pytest.mark.req("C7")
def test_a_request_without_an_authority_fails_with_a_reason(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        wish = pending.Wish(organisation=desks.organisation)
        _, request_id = await pending.ask(desks.person, Subject(ALICE), wish)
        await pending.work(desks.housekeeping, now())
        (asked,) = await requests(desks, id=request_id)
        assert (asked.state, asked.reason) == ("failed", NoAuthority().public)

    at_work(database, tmp_path, story)


@pytest.mark.req("C13")
def test_a_certificate_is_renewed_before_it_ends_with_a_new_key(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        issuing = await desks.found()
        await quick_profile(desks, days=40, renew_days=30)
        shaped = ("smime", profile.made({"key": "ec-p256", "days": 40}))
        first = await issue(desks.person, issuing, shaped, Subject(ALICE, "Alice A"), now())
        await pending.work(desks.housekeeping, now())
        gate, token = desks.person.gate, desks.person.token
        assert len(await calls.issued(gate, token=token, address=ALICE, id=None, max=9)) == 1, "too early"
        await pending.work(desks.housekeeping, now() + timedelta(days=11))
        await pending.work(desks.housekeeping, now() + timedelta(days=11))
        newest, oldest = await calls.issued(gate, token=token, address=ALICE, id=None, max=9)
        assert oldest.id == first.id
        assert newest.not_after > oldest.not_after
        assert newest.key_id != oldest.key_id
        assert "CN=Alice A" in x509.load_der_x509_certificate(newest.der).subject.rfc4514_string()
        own = await pki.own_certificates(desks.scene.world.flow, serials=[first.certificate.issuer_serial], skis=[])
        assert [each.key_id for each in own] == [oldest.key_id], "the old key still decrypts"

    at_work(database, tmp_path, story)


@pytest.mark.req("C13")
def test_an_administrator_is_warned_once_of_a_certificate_that_ends(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(desks: Desks) -> None:
        issuing = await desks.found()
        await issue(
            desks.person, issuing, ("smime", profile.made({"key": "ec-p256", "days": 40})), Subject(ALICE), now()
        )
        monkeypatch.setattr(pending, "HANDLERS", {"builtin": Elsewhere(99)})
        for _ in range(2):
            await pending.work(desks.housekeeping, now() + timedelta(days=30))
        told = desks.scene.world.ask("SELECT count(*) FROM audit.entry WHERE action = 'ca.warned'")
        assert told == [(1,)]

    at_work(database, tmp_path, story)


@pytest.mark.req("C12")
@pytest.mark.parametrize("allowed", [True, False])
def test_a_sender_without_a_certificate_gets_one_where_the_setting_says_so(
    database: Database, tmp_path: Path, allowed: bool
) -> None:
    async def story(desks: Desks) -> None:
        await desks.found()
        await quick_profile(desks)
        gate, token = desks.person.gate, desks.person.token
        arguments = {"level": "gateway", "scope": "", "name": "smime_auto_request_cert", "value": allowed}
        await policy.set(gate, token=token, **arguments)  # type: ignore[arg-type]  # its arguments by name
        for address in (ALICE, ALICE, "mallory@outside.test"):
            await calls.want(desks.scene.world.flow, address=address)
        await pending.work(desks.housekeeping, now())
        given = await calls.issued(gate, token=token, address=None, id=None, max=9)
        assert [each.address for each in given] == ([ALICE] if allowed else [])

    at_work(database, tmp_path, story)


TABLE = (
    b'\xef\xbb\xbfemail,name\r\nalice@inside.test,"Alice ""A"", Inc."\r\nnot an address,x\r\n\r\nbob@inside.test,\r\n'
)


@pytest.mark.req("C8")
def test_a_table_is_looked_at_first_and_may_come_twice(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        await desks.found()
        await quick_profile(desks)
        wish = pending.Wish(organisation=desks.organisation)
        gate, token = desks.person.gate, desks.person.token

        async def answers(*, dry: bool = False) -> list[str]:
            return [each.answer for each in await bulk.carry(desks.person, bulk.read(TABLE), wish, now(), dry=dry)]

        assert await answers(dry=True) == ["new", "invalid", "new"]
        assert await calls.issued(gate, token=token, address=None, id=None, max=9) == []
        assert await answers() == ["issued", "invalid", "issued"]
        assert await answers() == ["there", "invalid", "there"]
        given = await calls.issued(gate, token=token, address=None, id=None, max=9)
        assert len(given) == 2
        subjects = {x509.load_der_x509_certificate(each.der).subject.rfc4514_string() for each in given}
        assert subjects == {'CN=Alice \\"A\\"\\, Inc.', "CN=bob@inside.test"}

    at_work(database, tmp_path, story)


@pytest.mark.req("C9")
def test_a_key_is_handed_over_in_a_file_and_its_password_apart(database: Database, tmp_path: Path) -> None:
    async def story(desks: Desks) -> None:
        issuing = await desks.found()
        made = await issue(desks.person, issuing, QUICK, Subject(ALICE), now())
        parcel = await handover.package(desks.person, made.id)
        opened = pkcs12.load_pkcs12(parcel.p12, parcel.password.octets)
        assert opened.cert is not None
        assert opened.cert.certificate == made.certificate.parsed
        assert opened.key is not None
        assert opened.key.public_key() == made.certificate.parsed.public_key()
        assert len(opened.additional_certs) == 2
        mail = handover.message(parcel, "pki@inside.test", "Inside", now().timestamp())
        assert parcel.password.octets not in mail
        parts = list(message_from_bytes(mail).walk())
        assert [each.get_content_type() for each in parts[1:]] == ["text/plain", "application/pkcs12"]
        assert parts[2].get_payload(decode=True) == parcel.p12
        assert (await handover.package(desks.person, made.id)).password != parcel.password
        await revoke(desks.person, made.id, "superseded", now())
        with pytest.raises(AuthorityError, match="revoked"):
            await handover.package(desks.person, made.id)

    at_work(database, tmp_path, story)


@pytest.mark.req("C9")
def test_nothing_is_encrypted_to_a_key_that_its_owner_outside_does_not_have_yet(
    database: Database, tmp_path: Path
) -> None:
    async def story(desks: Desks) -> None:
        issuing = await desks.found()
        made = await issue(desks.person, issuing, QUICK, Subject("paula@partner.test"), now())

        async def candidates() -> list[object]:
            rows = await pki.candidates(desks.scene.world.flow, addresses=["paula@partner.test"])
            return [each.id for each in rows]

        assert await candidates() == []
        gate, token = desks.person.gate, desks.person.token
        assert await calls.confirm(gate, token=token, id=made.id) == "done"
        assert await calls.confirm(gate, token=token, id=made.id) == "already"
        assert await candidates() == [made.id]

    at_work(database, tmp_path, story)
