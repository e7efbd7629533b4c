"""Lists and OCSP answers: which of them speak about a certificate, and what soft and hard make of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ReasonFlags, ocsp
from cryptography.x509.oid import NameOID

from letterlock.asn1 import ber, der
from letterlock.config import approved
from letterlock.pki import crl
from letterlock.pki import ocsp as answers
from letterlock.pki.certificate import parse
from letterlock.pki.chains import index
from letterlock.pki.errors import MalformedAnswer, MalformedCrl
from letterlock.pki.path import Rules, Verdict, validate
from letterlock.pki.reasons import Reason
from letterlock.pki.revocation import Knowledge, Mode
from letterlock.pki.trust import Trust
from tests.fakes.authority import Authority, Identity
from tests.fakes.revocation import HOUR, distribution_point, make_answer, make_crl, odd_authority

NOW = datetime.now(UTC)
ANSWERING = (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.9")]), False)
UNKNOWN = (Reason.REVOCATION_UNKNOWN,)
REVOKED = (Reason.REVOKED,)


@pytest.fixture(autouse=True)
def _this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long run the file was read long ago, and lists and answers made now would be of the future."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


@pytest.fixture(scope="module")
def anchor() -> Authority:
    return Authority.create("Anchor")


@pytest.fixture(scope="module")
def person(anchor: Authority) -> Identity:
    return anchor.issue("a@example.org", "p256")


def judge(
    person: Identity,
    anchor: Authority,
    lists: Sequence[bytes] = (),
    said: Sequence[bytes] = (),
    mode: Mode = "hard",
    at: datetime | None = None,
    via: Sequence[Authority | Identity] = (),
) -> Verdict:
    known = Knowledge(tuple(map(crl.parse, lists)), tuple(map(answers.parse, said)))
    pool = index(parse(each.der) for each in via)
    return validate(parse(person.der), pool, index([parse(anchor.der)]), at or NOW, Rules("sign", mode), known)


def point(
    uri: str | None = None, issuer: x509.Name | None = None, reasons: frozenset[ReasonFlags] | None = None
) -> tuple[x509.CRLDistributionPoints, bool]:
    names = [x509.UniformResourceIdentifier(uri)] if uri else None
    by = [x509.DirectoryName(issuer)] if issuer else None
    return x509.CRLDistributionPoints([x509.DistributionPoint(names, None, reasons, by)]), False


@pytest.mark.req("C2")
def test_modes(person: Identity, anchor: Authority) -> None:
    for mode, nothing in (("none", ()), ("soft", ()), ("hard", UNKNOWN)):
        assert judge(person, anchor, mode=mode).reasons == nothing
    listed = [make_crl(anchor, {person.certificate.serial_number: None})]
    for mode, reasons in (("none", ()), ("soft", REVOKED), ("hard", REVOKED)):
        assert judge(person, anchor, listed, mode=mode).reasons == reasons
    assert judge(person, anchor, [make_crl(anchor, {12345: None})]).ok


@pytest.mark.req("C2")
def test_a_revoked_authority_revokes_what_is_below(anchor: Authority) -> None:
    above = anchor.intermediate("Above")
    below = above.issue("a@example.org", "p256")
    lists = [make_crl(above), make_crl(anchor, {above.certificate.serial_number: ReasonFlags.ca_compromise})]
    assert judge(below, anchor, lists, via=[above]).reasons == REVOKED
    assert judge(below, anchor, [make_crl(above), make_crl(anchor)], via=[above]).ok
    assert judge(below, anchor, [make_crl(above)], via=[above]).reasons == UNKNOWN


@pytest.mark.req("C2")
def test_the_times_of_a_list_bound_the_verdict(person: Identity, anchor: Authority) -> None:
    lists = [make_crl(anchor, at=NOW, lasts=HOUR)]
    verdict = judge(person, anchor, lists)
    assert verdict.ok
    assert verdict.until < NOW + HOUR
    assert verdict.since > NOW - HOUR
    assert judge(person, anchor, lists, at=NOW + HOUR).reasons == UNKNOWN
    assert judge(person, anchor, lists, at=NOW - HOUR).reasons == UNKNOWN
    trust = Trust([parse(anchor.der)], knowledge=Knowledge(tuple(map(crl.parse, lists))))
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    edge = next(edge for edge in (verdict.until, hour + HOUR) if edge is verdict.until)
    assert trust.verdict(parse(person.der), edge - timedelta(seconds=1), "sign", (), "hard").ok
    assert not trust.verdict(parse(person.der), edge + timedelta(seconds=1), "sign", (), "hard").ok


@pytest.mark.req("C2")
def test_scope_of_a_list(person: Identity, anchor: Authority) -> None:
    serial = {person.certificate.serial_number: None}
    users = make_crl(anchor, serial, extensions=[distribution_point(users_only=True)])
    authorities = make_crl(anchor, serial, extensions=[distribution_point(authorities_only=True)])
    elsewhere = make_crl(anchor, serial, extensions=[distribution_point(uri="http://crl.example.org/other")])
    assert judge(person, anchor, [users]).reasons == REVOKED
    assert judge(person, anchor, [authorities]).reasons == UNKNOWN
    assert judge(person, anchor, [elsewhere]).reasons == UNKNOWN
    named = anchor.issue("b@example.org", "p256", extensions=[point("http://crl.example.org/1")])
    right = make_crl(anchor, extensions=[distribution_point(uri="http://crl.example.org/1")])
    assert judge(named, anchor, [right]).ok
    assert judge(named, anchor, [elsewhere]).reasons == UNKNOWN


@pytest.mark.req("C2")
def test_lists_for_some_reasons_must_cover_all(person: Identity, anchor: Authority) -> None:
    some = frozenset((ReasonFlags.key_compromise, ReasonFlags.ca_compromise))
    first = make_crl(anchor, extensions=[distribution_point(reasons=some)])
    rest = make_crl(anchor, extensions=[distribution_point(reasons=crl.ALL_REASONS - some)])
    assert judge(person, anchor, [first]).reasons == UNKNOWN
    assert judge(person, anchor, [first, rest]).ok


@pytest.mark.req("C2")
def test_deltas(person: Identity, anchor: Authority) -> None:
    serial = person.certificate.serial_number

    def delta(base: int, number: int, revoked: dict[int, ReasonFlags | None]) -> bytes:
        return make_crl(anchor, revoked, number=number, extensions=[(x509.DeltaCRLIndicator(base), True)])

    held = make_crl(anchor, {serial: ReasonFlags.certificate_hold}, number=5)
    clean = make_crl(anchor, number=5)
    assert judge(person, anchor, [held]).reasons == REVOKED
    assert judge(person, anchor, [held, delta(5, 6, {serial: ReasonFlags.remove_from_crl})]).ok
    assert judge(person, anchor, [clean, delta(4, 6, {serial: None})]).reasons == REVOKED
    assert judge(person, anchor, [clean, delta(6, 7, {serial: None})]).ok, "its base is newer than what we hold"
    assert judge(person, anchor, [delta(5, 6, {})]).reasons == UNKNOWN, "a delta alone is no list"


@pytest.mark.req("C2")
def test_an_indirect_list_speaks_for_whom_it_names(anchor: Authority) -> None:
    issuer = odd_authority("List issuer", anchor)
    above = anchor.intermediate("Above")
    subject = issuer.certificate.subject
    person = above.issue("a@example.org", "p256", extensions=[point("http://x/", subject)])
    serial = person.certificate.serial_number
    spot = distribution_point(uri="http://x/", indirect=True)
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Somebody")])
    via, rest = [above, issuer], [make_crl(anchor)]
    for named, reasons in ((above.certificate.subject, REVOKED), (other, ())):
        indirect = make_crl(issuer, {serial: None}, extensions=[spot], named={serial: named})
        assert judge(person, anchor, [*rest, indirect], via=via).reasons == reasons
    plain = make_crl(issuer, extensions=[distribution_point(uri="http://x/")])
    assert judge(person, anchor, [*rest, plain], via=via).reasons == UNKNOWN
    revoked = [make_crl(anchor, {issuer.certificate.serial_number: None}), make_crl(issuer, extensions=[spot])]
    assert judge(person, anchor, revoked, via=via).reasons == UNKNOWN, "who signs the list was revoked"


@pytest.mark.req("C2")
def test_a_signer_of_lists_must_be_one(person: Identity, anchor: Authority) -> None:
    usage = ("digital_signature",)
    clerk = anchor.issue("", "p256", name="Anchor", usage=usage, purposes=None)
    assert judge(person, anchor, [make_crl(clerk)], via=[clerk]).reasons == UNKNOWN


def test_unreadable_lists_are_refused() -> None:
    for octets in (b"", b"\x30\x00", b"\x30\x80" + bytes(100)):
        with pytest.raises(MalformedCrl):
            crl.parse(octets)
        with pytest.raises(MalformedAnswer):
            answers.parse(octets)


@pytest.mark.req("C4")
@pytest.mark.req("C2")
@pytest.mark.parametrize("indirect", [False, True])
def test_a_list_with_an_unreadable_entry_is_refused(person: Identity, anchor: Authority, indirect: bool) -> None:
    """An entry that gives its reason twice: the library raises what is no ValueError."""
    serial = person.certificate.serial_number
    scope = [distribution_point(uri="http://crl.example/a", indirect=True)] if indirect else []
    octets = make_crl(anchor, {serial: ReasonFlags.superseded}, extensions=scope)
    reason = bytes.fromhex("300a0603551d1504030a0104")
    assert octets.count(reason) == 1
    # The list and the rows around the reason grow by its octets; nobody looks at the signature here.
    element = ber.single(octets)
    tbs, *rest = element.children()
    fields = tbs.children()
    at = next(at for at, each in enumerate(fields) if each.tag == der.SEQUENCE and reason in each.content)
    (entry,) = fields[at].children()
    parts = entry.children()
    twice = der.sequence(*(each.raw for each in parts[:2]), der.sequence(reason, reason))
    fields[at] = ber.single(der.sequence(twice))
    changed = der.sequence(der.sequence(*(each.raw for each in fields)), *(each.raw for each in rest))
    found = crl.parse(changed)
    with pytest.raises(MalformedCrl):
        found.entry(parse(person.der))


def test_answers_of_the_issuer(person: Identity, anchor: Authority) -> None:
    good = make_answer(person, anchor)
    verdict = judge(person, anchor, said=[good])
    assert verdict.ok
    assert verdict.until < NOW + HOUR
    bad = make_answer(person, anchor, status=ocsp.OCSPCertStatus.REVOKED)
    assert judge(person, anchor, said=[bad], mode="soft").reasons == REVOKED
    assert judge(person, anchor, said=[good, bad]).reasons == REVOKED
    assert (
        judge(person, anchor, [make_crl(anchor, {person.certificate.serial_number: None})], [good]).reasons == REVOKED
    )
    strange = make_answer(person, anchor, status=ocsp.OCSPCertStatus.UNKNOWN)
    assert judge(person, anchor, said=[strange]).reasons == UNKNOWN
    assert judge(person, anchor, said=[good], at=NOW + HOUR).reasons == UNKNOWN
    assert judge(person, anchor, said=[good], at=NOW - HOUR).reasons == UNKNOWN


@pytest.mark.req("C4")
def test_an_answer_without_an_end_is_not_believed_for_ever(person: Identity, anchor: Authority) -> None:
    endless = [make_answer(person, anchor, lasts=None)]
    assert judge(person, anchor, said=endless, at=NOW + timedelta(days=6)).ok
    assert judge(person, anchor, said=endless, at=NOW + timedelta(days=8)).reasons == UNKNOWN


@pytest.mark.req("C4")
def test_answers_of_an_authorised_responder(person: Identity, anchor: Authority) -> None:
    def responder(**more: object) -> Identity:
        given = {"purposes": None, "extensions": [ANSWERING], **more}
        return anchor.issue("", "p256", name="Responder", **given)  # type: ignore[arg-type]

    right = responder()
    assert judge(person, anchor, said=[make_answer(person, anchor, right)]).ok
    assert judge(person, anchor, said=[make_answer(person, anchor, right, bring=False)]).reasons == UNKNOWN
    gone = [make_crl(anchor, {right.certificate.serial_number: None})]
    assert judge(person, anchor, gone, [make_answer(person, anchor, right)]).ok, "the list itself clears the person"
    old = responder(not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
    mute = responder(usage=("key_encipherment",))
    for each in (old, mute):
        assert judge(person, anchor, said=[make_answer(person, anchor, each)]).reasons == UNKNOWN
    weak = make_answer(person, anchor, digest=hashes.SHA224())
    assert judge(person, anchor, said=[weak]).ok


@pytest.mark.req("C4")
def test_a_revoked_responder_is_not_heard(anchor: Authority) -> None:
    above = anchor.intermediate("Above")
    person = above.issue("a@example.org", "p256", extensions=[point("http://elsewhere/")])
    right = above.issue("", "p256", name="Responder", purposes=None, extensions=[ANSWERING])
    gone = make_crl(
        above,
        {right.certificate.serial_number: None},
        extensions=[distribution_point(reasons=[ReasonFlags.superseded])],
    )
    said, rest = [make_answer(person, above, right), make_answer(above, anchor)], make_crl(anchor)
    assert judge(person, anchor, [rest], said, via=[above]).ok
    assert judge(person, anchor, [rest, gone], said, via=[above]).reasons == UNKNOWN


@pytest.mark.req("C4")
def test_nonce(person: Identity, anchor: Authority) -> None:
    nonce = b"n" * 32
    answers.check_nonce(answers.parse(make_answer(person, anchor, nonce=nonce)), nonce)
    for octets in (make_answer(person, anchor), make_answer(person, anchor, nonce=b"m" * 32)):
        with pytest.raises(MalformedAnswer):
            answers.check_nonce(answers.parse(octets), nonce)


@pytest.mark.req("M2")
def test_a_list_signed_with_sha1_counts_for_nothing_under_fips(
    anchor: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, signer = crl.parse(make_crl(anchor)), parse(anchor.der)
    fits = crl._fits  # what is_signed_by remembers
    with approved.keeping("fips"):
        assert fits(found, signer)
        monkeypatch.setattr(approved, "_APPROVED", {**approved._APPROVED, ("digest", "sha256"): False})
        assert not fits(found, signer)
    assert fits(found, signer)
