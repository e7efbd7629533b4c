"""The certificate trust list: what its entries allow, forbid and leave alone."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from letterlock.pki import crl
from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.ctl import Ctl, CtlEntry
from letterlock.pki.reasons import Reason
from letterlock.pki.revocation import Knowledge
from letterlock.pki.trust import Trust
from tests.fakes.authority import Authority
from tests.fakes.revocation import make_crl

NOW = datetime.now(UTC)
AUTHORITY = Authority.create("Nobody's anchor")


@pytest.fixture(autouse=True)
def _this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long run the file was read long ago, and lists and answers made now would be of the future."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


def certificate(**more: object) -> Certificate:
    return parse(AUTHORITY.issue("a@example.org", "p256", **more).der)  # type: ignore[arg-type]


def pin(each: Certificate) -> bytes:
    return hashlib.sha256(each.spki).digest()


def reasons(
    each: Certificate, *entries: CtlEntry, at: datetime | None = None, trusted: bool = False
) -> tuple[Reason, ...]:
    anchors = [parse(AUTHORITY.der)] if trusted else []
    return Trust(anchors, [], ctl=Ctl(entries)).verdict(each, at or NOW, "sign").reasons


@pytest.mark.req("C3")
def test_allow_takes_the_place_of_a_path() -> None:
    mine = certificate()
    assert reasons(mine) == (Reason.UNTRUSTED,)
    assert reasons(mine, CtlEntry("allow", "thumbprint", mine.thumbprint)) == ()
    assert reasons(certificate(), CtlEntry("allow", "thumbprint", mine.thumbprint)) == (Reason.UNTRUSTED,)


@pytest.mark.req("C3")
def test_a_pin_on_the_key_outlives_a_renewal() -> None:
    first = AUTHORITY.issue("a@example.org", "p256")
    renewed = parse(AUTHORITY.issue("a@example.org", first.key).der)
    assert reasons(renewed, CtlEntry("allow", "thumbprint", parse(first.der).thumbprint)) == (Reason.UNTRUSTED,)
    assert reasons(renewed, CtlEntry("allow", "spki", pin(parse(first.der)))) == ()


@pytest.mark.req("C3")
def test_expiry_only_where_the_entry_says_so() -> None:
    old = certificate(not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
    assert reasons(old, CtlEntry("allow", "thumbprint", old.thumbprint)) == (Reason.EXPIRED,)
    assert reasons(old, CtlEntry("allow", "thumbprint", old.thumbprint, allow_expired=True)) == ()
    new = certificate(not_before=NOW + timedelta(days=1))
    assert reasons(new, CtlEntry("allow", "thumbprint", new.thumbprint, allow_expired=True)) == (Reason.NOT_YET_VALID,)


@pytest.mark.req("C3")
def test_allow_does_not_waive_usage() -> None:
    for more, reason in (
        ({"usage": ("key_encipherment",)}, Reason.KEY_USAGE),
        ({"purposes": ("server",)}, Reason.PURPOSE),
        ({"key": "rsa1024"}, Reason.WEAK_KEY),
    ):
        mine = parse(AUTHORITY.issue("a@example.org", **{"key": "p256", **more}).der)  # type: ignore[arg-type]
        assert reasons(mine, CtlEntry("allow", "thumbprint", mine.thumbprint)) == (reason,)


@pytest.mark.req("C3")
def test_allow_does_not_waive_revocation() -> None:
    mine = certificate()
    ctl = Ctl([CtlEntry("allow", "thumbprint", mine.thumbprint)])
    known = Knowledge((crl.parse(make_crl(AUTHORITY, {mine.serial: None})),))
    for anchors, pool in (([AUTHORITY], []), ([], [AUTHORITY])):
        trust = Trust([parse(e.der) for e in anchors], [parse(e.der) for e in pool], ctl=ctl, knowledge=known)
        assert trust.verdict(mine, NOW, "sign", (), "soft").reasons == (Reason.REVOKED,)


@pytest.mark.req("C3")
def test_hard_revocation_stays_hard_for_what_is_allowed() -> None:
    """Without its issuer nobody can say whether it was revoked; what signed itself cannot be."""
    mine, own = certificate(), parse(AUTHORITY.der)
    ctl = Ctl([CtlEntry("allow", "thumbprint", each.thumbprint) for each in (mine, own)])
    for certificate_, mode, answer in (
        (mine, "hard", (Reason.REVOCATION_UNKNOWN,)),
        (mine, "soft", ()),
        (own, "hard", ()),
    ):
        verdict = Trust([], [], ctl=ctl).verdict(certificate_, NOW, "any", (), mode)  # type: ignore[arg-type]
        assert verdict.reasons == answer


@pytest.mark.req("C3")
def test_allow_does_not_waive_a_critical_extension() -> None:
    odd = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)
    mine = certificate(extensions=[odd])
    allow = CtlEntry("allow", "thumbprint", mine.thumbprint)
    for trusted in (True, False):
        assert reasons(mine, allow, trusted=trusted) == (Reason.CRITICAL_EXTENSION,)


@pytest.mark.req("C3")
def test_forbidden_wins() -> None:
    mine = certificate()
    allow = CtlEntry("allow", "thumbprint", mine.thumbprint)
    for deny in (CtlEntry("deny", "thumbprint", mine.thumbprint), CtlEntry("deny", "spki", pin(mine))):
        assert reasons(mine, allow, deny) == (Reason.FORBIDDEN,)
        assert reasons(mine, deny, trusted=True) == (Reason.FORBIDDEN,)
        assert reasons(certificate(), deny, trusted=True) == ()


@pytest.mark.req("C3")
@pytest.mark.parametrize("by", ["thumbprint", "spki"])
def test_a_forbidden_authority_forbids_its_children(by: str) -> None:
    above = parse(AUTHORITY.der)
    deny = CtlEntry("deny", by, above.thumbprint if by == "thumbprint" else pin(above))  # type: ignore[arg-type]
    assert reasons(certificate(), deny, trusted=True) == (Reason.FORBIDDEN,)


@pytest.mark.req("C3")
def test_entries_end_and_their_end_bounds_the_verdict() -> None:
    mine = certificate()
    end = NOW + timedelta(minutes=1)
    allow = CtlEntry("allow", "thumbprint", mine.thumbprint, until=end, reason="trial", author="admin")
    trust = Trust([], [], ctl=Ctl([allow]))
    verdict = trust.verdict(mine, NOW, "sign")
    assert verdict.ok
    assert verdict.until == end
    assert trust.verdict(mine, end, "sign").reasons == (Reason.UNTRUSTED,)
