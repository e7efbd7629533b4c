"""Path building and the S/MIME rules; openssl verify agrees where it has the same rules."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.chains import MAX_CHAINS, index
from letterlock.pki.path import Rules, Verdict, validate
from letterlock.pki.reasons import Purpose, Reason
from tests.fakes.authority import Authority, Identity

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def anchor() -> Authority:
    return Authority.create("Anchor")


@pytest.fixture(scope="module")
def issuing(anchor: Authority) -> Authority:
    return anchor.intermediate("Issuing")


@pytest.fixture(scope="module")
def alice(issuing: Authority) -> Identity:
    return issuing.issue("alice@example.org")


def ask(
    identity: Identity | Certificate,
    *,
    via: list[Authority] | None = None,
    under: list[Authority] | None = None,
    at: datetime = NOW,
    purpose: Purpose = "sign",
) -> Verdict:
    """The verdict with these intermediates and anchors."""
    certificate = identity if isinstance(identity, Certificate) else parse(identity.der)
    return validate(
        certificate,
        index(parse(each.der) for each in via or ()),
        index(parse(each.der) for each in under or ()),
        at,
        Rules(purpose),
    )


@pytest.mark.req("B4")
@pytest.mark.parametrize("purpose", ["sign", "encrypt", "any"])
def test_good(alice: Identity, issuing: Authority, anchor: Authority, purpose: Purpose) -> None:
    verdict = ask(alice, via=[issuing], under=[anchor], purpose=purpose)
    assert verdict.ok
    assert verdict.reasons == ()
    assert [each.der for each in verdict.path] == [alice.der, issuing.der, anchor.der]
    assert verdict.since < NOW < verdict.until


def test_untrusted(alice: Identity, issuing: Authority, anchor: Authority) -> None:
    assert ask(alice, via=[issuing]).reasons == (Reason.UNTRUSTED,)
    assert ask(alice, under=[anchor]).reasons == (Reason.UNTRUSTED,)
    assert ask(alice, via=[issuing, anchor]).reasons == (Reason.UNTRUSTED,)  # an anchor is one only when we say so
    assert ask(alice, via=[issuing], under=[Authority.create("Other")]).reasons == (Reason.UNTRUSTED,)


def test_an_intermediate_may_be_the_anchor(alice: Identity, issuing: Authority) -> None:
    assert ask(alice, under=[issuing]).ok


def test_same_name_other_key_is_a_bad_signature(alice: Identity, issuing: Authority) -> None:
    verdict = ask(alice, via=[issuing], under=[Authority.create("Anchor")])
    assert not verdict.ok
    assert verdict.reasons[0] in (Reason.BAD_SIGNATURE, Reason.UNTRUSTED)


@pytest.mark.req("B4")
def test_validity(anchor: Authority) -> None:
    begin, end = NOW - timedelta(days=10), NOW + timedelta(days=10)
    person = anchor.issue("a@example.org", "p256", not_before=begin, not_after=end)
    assert ask(person, under=[anchor], at=end + timedelta(seconds=1)).reasons == (Reason.EXPIRED,)
    assert ask(person, at=end + timedelta(days=1)).reasons == (Reason.EXPIRED, Reason.UNTRUSTED)
    verdict = ask(person, under=[anchor], at=begin - timedelta(seconds=2))
    assert verdict.reasons[0] == Reason.NOT_YET_VALID


def test_expired_issuer(anchor: Authority) -> None:
    old = anchor.intermediate("Old", not_before=NOW - timedelta(days=20), not_after=NOW - timedelta(days=1))
    assert ask(old.issue("a@example.org", "p256"), via=[old], under=[anchor]).reasons == (Reason.ISSUER_NOT_VALID,)


@pytest.mark.req("B4")
@pytest.mark.parametrize(
    ("key", "usage", "sign", "encrypt"),
    [
        ("rsa2048", None, True, True),
        ("rsa2048", ("digital_signature",), True, False),
        ("rsa2048", ("content_commitment",), True, False),
        ("rsa2048", ("key_encipherment",), False, True),
        ("rsa2048", ("data_encipherment",), False, False),
        ("rsa2048", ("key_agreement",), False, False),
        ("p256", ("key_agreement",), False, True),
        ("p256", ("key_encipherment",), False, False),
        ("p256", ("digital_signature", "key_agreement"), True, True),
    ],
)
def test_key_usage(anchor: Authority, key: str, usage: tuple[str, ...] | None, sign: bool, encrypt: bool) -> None:
    person = anchor.issue("a@example.org", key, usage=usage)
    for purpose, good in (("sign", sign), ("encrypt", encrypt)):
        verdict = ask(person, under=[anchor], purpose=purpose)
        assert verdict.reasons == (() if good else (Reason.KEY_USAGE,))


@pytest.mark.parametrize(
    ("purposes", "good"),
    [(None, True), (("email",), True), (("any",), True), (("server", "email"), True), (("server",), False)],
)
def test_extended_key_usage(anchor: Authority, purposes: tuple[str, ...] | None, good: bool) -> None:
    verdict = ask(anchor.issue("a@example.org", "p256", purposes=purposes), under=[anchor])
    assert verdict.reasons == (() if good else (Reason.PURPOSE,))
    assert ask(anchor.issue("a@example.org", "p256", purposes=purposes), under=[anchor], purpose="any").ok


@pytest.mark.req("B4")
def test_every_chain_that_was_tried_is_listed_with_its_reasons(anchor: Authority) -> None:
    short = anchor.intermediate("Short", path_length=0)
    old = anchor.intermediate("Old", not_before=NOW - timedelta(days=20), not_after=NOW - timedelta(days=1))
    below = short.intermediate("Below")
    person = below.issue("a@example.org", "p256")
    verdict = ask(person, via=[short, below, old, old.cross(below)], under=[anchor])
    assert {(each.path[2].subject, each.reasons) for each in verdict.rejected} == {
        ("CN=Short", (Reason.NOT_AN_AUTHORITY,)),
        ("CN=Old", (Reason.ISSUER_NOT_VALID,)),
    }
    assert verdict.reasons == verdict.rejected[0].reasons
    assert verdict.detail


def test_weak_and_unsupported_keys(anchor: Authority) -> None:
    assert ask(anchor.issue("a@example.org", "rsa1024"), under=[anchor]).reasons == (Reason.WEAK_KEY,)
    edwards = anchor.issue("a@example.org", "ed25519")
    assert ask(edwards, under=[anchor]).ok
    assert Reason.UNSUPPORTED_KEY in ask(edwards, under=[anchor], purpose="encrypt").reasons


@pytest.mark.peer
def test_sha1_on_the_end_entity(anchor: Authority, tmp_path: Path) -> None:
    person = anchor.issue("a@example.org")
    names = {"ca.pem": anchor.pem, "key.pem": person.key_pem, "ext": b"subjectAltName=email:a@example.org\n"}
    keys = Identity(anchor.certificate, anchor.key)
    names["ca.key"] = keys.key_pem
    for name, octets in names.items():
        (tmp_path / name).write_bytes(octets)
    subprocess.run(
        "openssl req -new -key key.pem -subj /CN=a -out a.csr && "
        "openssl x509 -req -sha1 -in a.csr -CA ca.pem -CAkey ca.key -set_serial 5 -extfile ext -out a.pem",
        shell=True,
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    weak = parse(x509.load_pem_x509_certificate((tmp_path / "a.pem").read_bytes()).public_bytes(Encoding.DER))
    assert weak.digest == "sha1"
    later = NOW + timedelta(hours=1)  # the program dates it now, and NOW is a little before
    assert ask(weak, under=[anchor], at=later).reasons == (Reason.WEAK_DIGEST,)


def test_issuers_must_be_authorities(anchor: Authority) -> None:
    person = anchor.issue("a@example.org", "p256")
    forged = Authority(person.certificate, person.key, anchor.chain).issue("b@example.org", "p256")
    via = Authority(person.certificate, person.key)
    assert Reason.NOT_AN_AUTHORITY in ask(forged, via=[via], under=[anchor]).reasons


def test_path_length(anchor: Authority) -> None:
    short = anchor.intermediate("Short", path_length=0)
    below = short.intermediate("Below")
    person = below.issue("a@example.org", "p256")
    assert ask(person, via=[short, below], under=[anchor]).reasons == (Reason.NOT_AN_AUTHORITY,)


def test_name_constraints_hold_for_every_place_of_an_address(anchor: Authority) -> None:
    limited = anchor.intermediate("Limited", permitted=["example.org"])
    assert ask(limited.issue("a@example.org", "p256"), via=[limited], under=[anchor]).ok
    outside = limited.issue("a@example.com", "p256")
    assert ask(outside, via=[limited], under=[anchor]).reasons == (Reason.NAME_CONSTRAINT,)
    in_subject = limited.issue("a@example.org", "p256", rdn_address="ceo@example.com")
    assert ask(in_subject, via=[limited], under=[anchor]).reasons == (Reason.NAME_CONSTRAINT,)
    in_other = limited.issue("a@example.org", "p256", utf8_addresses=["chéf@example.com"])
    assert not ask(in_other, via=[limited], under=[anchor]).ok


def test_unknown_critical_extension(anchor: Authority) -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    person = anchor.issue("a@example.org", "p256", extensions=[(odd, True)])
    assert ask(person, under=[anchor]).reasons == (Reason.CRITICAL_EXTENSION,)


def test_an_intermediate_for_servers_issues_no_mail_certificates(anchor: Authority) -> None:
    purposes = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")])
    usage = ("key_cert_sign", "digital_signature")
    server = anchor.issue("", "p256", usage=usage, purposes=None, authority=True, extensions=[(purposes, False)])
    issuer = Authority(server.certificate, server.key, anchor.chain)
    person = issuer.issue("a@example.org", "p256")
    assert ask(person, via=[issuer], under=[anchor]).reasons == (Reason.PURPOSE,)


def test_turns_back_from_a_wrong_issuer_of_the_same_name(anchor: Authority) -> None:
    """OpenSSL alone gives up when the first issuer of the right name leads nowhere."""
    real = anchor.intermediate("Twin")
    person = real.issue("a@example.org", "p256")
    elsewhere = Authority.create("Elsewhere")
    cross = elsewhere.intermediate("Twin")
    for via in ([cross, real], [real, cross]):
        assert ask(person, via=via, under=[anchor]).ok


def test_the_same_key_certified_twice_finds_the_trusted_way(anchor: Authority) -> None:
    """A cross certificate of the issuer's own key under an authority we do not trust must not hide the other way."""
    real = anchor.intermediate("Crossed")
    elsewhere = Authority.create("Elsewhere")
    cross = elsewhere.cross(real)
    person = real.issue("a@example.org", "p256")
    assert ask(person, via=[cross, elsewhere, real], under=[anchor]).ok


@pytest.mark.slow
def test_a_maze_of_issuers_is_left_soon(anchor: Authority) -> None:
    """Twelve authorities that all certify one another have more than 12! paths: bounded, and never accepted."""
    rulers = [Authority.create(f"Maze {number}") for number in range(12)]
    chain = [one.cross(other) for one in rulers for other in rulers if one is not other]
    person = rulers[0].issue("a@example.org", "p256")
    began = datetime.now(UTC)
    verdict = ask(person, via=chain, under=[anchor])
    assert verdict.reasons == (Reason.UNTRUSTED,)
    assert datetime.now(UTC) - began < timedelta(seconds=2)


def test_depth_is_bounded(anchor: Authority) -> None:
    chain = [anchor]
    for number in range(9):
        chain.append(chain[-1].intermediate(f"Deep {number}"))
    near = chain[7].issue("a@example.org", "p256")
    far = chain[9].issue("a@example.org", "p256")
    assert ask(near, via=chain[1:], under=[anchor]).ok
    assert ask(far, via=chain[1:], under=[anchor]).reasons == (Reason.UNTRUSTED,)


def test_number_of_chains_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [Authority.create("Many") for _ in range(MAX_CHAINS + 15)]
    person = Authority.create("Many").issue("a@example.org", "p256")
    asked: list[object] = []
    from letterlock.pki import path

    real = path._ask_openssl
    monkeypatch.setattr(path, "_ask_openssl", lambda *given: (asked.append(given), real(*given)))
    assert not ask(person, under=wrong).ok
    assert len(asked) == MAX_CHAINS


@pytest.mark.peer
@pytest.mark.parametrize("purposes", [("email",), ("server",), None])
@pytest.mark.parametrize("usage", [("digital_signature",), ("key_encipherment",), None])
def test_openssl_verify_agrees(
    anchor: Authority,
    issuing: Authority,
    tmp_path: Path,
    purposes: tuple[str, ...] | None,
    usage: tuple[str, ...] | None,
) -> None:
    """anyExtendedKeyUsage is left out: OpenSSL does not take it for S/MIME, RFC 8550 4.4.4 does."""
    person = issuing.issue("a@example.org", usage=usage, purposes=purposes)
    for name, octets in (("ca", anchor.pem), ("via", issuing.pem), ("ee", person.pem)):
        (tmp_path / name).write_bytes(octets)
    for ours, theirs in (("sign", "smimesign"), ("encrypt", "smimeencrypt")):
        done = subprocess.run(
            ["openssl", "verify", "-CAfile", "ca", "-untrusted", "via", "-purpose", theirs, "ee"],
            cwd=tmp_path,
            capture_output=True,
        )
        verdict = ask(person, via=[issuing], under=[anchor], purpose=ours)
        assert verdict.ok == (done.returncode == 0), done.stderr
