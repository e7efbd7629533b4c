"""Cases for children: what is asked, what is answered, what is left out; and that each reason has its sentence."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from letterlock.pki import case
from letterlock.pki.reasons import SENTENCES, Reason
from tests.fakes.authority import Authority
from tests.fakes.revocation import make_answer, make_crl, odd_authority, policies

ANCHOR = Authority.create("Anchor")
PERSON = ANCHOR.issue("a@example.org", "p256")


def coded(*octets: bytes) -> list[str]:
    return [b64encode(each).decode() for each in octets]


def ask(how: Any = case.answer, **more: Any) -> dict[str, Any]:
    given = {"id": 1, "leaf": coded(PERSON.der)[0], "anchors": coded(ANCHOR.der), "purpose": "sign", **more}
    found: dict[str, Any] = json.loads(how(json.dumps(given).encode()))
    return found


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_sentence(reason: Reason) -> None:
    assert SENTENCES[reason].endswith(".")


@pytest.mark.req("C1")
def test_defaults_and_fields() -> None:
    assert ask() == {"id": 1, "ok": True, "reasons": []}
    assert ask(anchors=[])["reasons"] == ["untrusted"]
    assert ask(revocation="require")["reasons"] == ["revocation-unknown"]
    assert ask(revocation="require", crls=coded(make_crl(ANCHOR)))["ok"]
    assert ask(revocation="require", ocsp=coded(make_answer(PERSON, ANCHOR)))["ok"]
    assert ask(crls=coded(make_crl(ANCHOR, {PERSON.certificate.serial_number: None})))["reasons"] == ["revoked"]
    assert ask(address="A@Example.org")["ok"]
    assert ask(address="b@example.org")["reasons"] == ["address-mismatch"]
    assert ask(explicit_policy=True)["reasons"] == ["policy"]
    later = datetime.now(UTC) + timedelta(days=4000)
    assert "expired" in ask(at=later.isoformat())["reasons"]
    assert ask(at="2026-11-27T12:00:00")["reasons"] == ["malformed-case"], "a time without offset says nothing"


@pytest.mark.req("C1")
def test_policies() -> None:
    above = odd_authority("Above", ANCHOR, [policies("1.2.3.1", "1.2.3.2")])
    person = above.issue("a@example.org", "p256", extensions=[policies("1.2.3.1", "1.2.3.3")])
    given = {"leaf": coded(person.der)[0], "intermediates": coded(above.der), "explicit_policy": True}
    assert ask(**given)["ok"]
    assert ask(**given, initial_policies=["1.2.3.1", "1.2.3.9"])["ok"]
    assert ask(**given, initial_policies=["2.5.29.32.0"])["ok"]
    for other in ("1.2.3.2", "1.2.3.3", "1.2.3.9"):
        assert ask(**given, initial_policies=[other])["reasons"] == ["policy"]


@pytest.mark.req("C1")
def test_what_cannot_be_read_is_left_out() -> None:
    junk = coded(b"", b"junk")
    assert ask(intermediates=junk, anchors=[*junk, *coded(ANCHOR.der)])["ok"]


@pytest.mark.req("C4")
@pytest.mark.parametrize("how", [case.answer, case.explain])
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"crls": [*coded(make_crl(ANCHOR)), *coded(b"")]}, "crls[1]"),
        ({"crls": coded(ANCHOR.der)}, "crls[0]"),
        ({"crls": ["%"]}, "crls[0]"),
        ({"ocsp": coded(b"junk")}, "ocsp[0]"),
        ({"initial_policies": ["1.2.3", "foo"]}, "initial_policies[1]"),
        ({"at": "2026-11-27T12:00:00"}, "at"),
        ({"purpose": "all"}, "purpose"),
    ],
)
def test_what_would_tell_of_a_revocation_is_never_left_out(how: Any, given: dict[str, Any], field: str) -> None:
    told = ask(how, **given)
    assert (told["ok"], told["reasons"]) == (False, ["malformed-case"])
    assert told["detail"].endswith(f"at `$.{field}`")


@pytest.mark.req("C1")
def test_issuers_are_judged_strictly_unless_said() -> None:
    point = (x509.InhibitAnyPolicy(3), False)  # RFC 5280 4.2.1.14: MUST be critical
    above = odd_authority("Careless", ANCHOR, [point])
    person = above.issue("a@example.org", "p256")
    given = {"leaf": coded(person.der)[0], "intermediates": coded(above.der)}
    assert ask(**given)["reasons"] == ["nonconforming"]
    assert ask(**given, lenient=True)["ok"]


@pytest.mark.req("C1")
@pytest.mark.parametrize("name", ["exa_mple.org", "8.8.8.8", ".example.org", "a..b", "-a.org", "*"])
def test_names_that_are_none(name: str) -> None:
    alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
    person = ANCHOR.issue([], "p256", name="a", purposes=None, extensions=[(alternative, False)])
    assert ask(leaf=coded(person.der)[0])["reasons"] == ["nonconforming"]


@pytest.mark.req("B4")
def test_an_explanation_names_every_path() -> None:
    short = ANCHOR.intermediate("Short", path_length=0)
    below = short.intermediate("Below")
    person = below.issue("a@example.org", "p256")
    told = ask(case.explain, leaf=coded(person.der)[0], intermediates=coded(short.der, below.der))
    assert told["sentences"] == [SENTENCES[Reason.NOT_AN_AUTHORITY]]
    assert [each["path"] for each in told["rejected"]] == [["CN=a@example.org", "CN=Below", "CN=Short", "CN=Anchor"]]
    good = ask(case.explain)
    assert good["path"] == ["CN=a@example.org", "CN=Anchor"]
    assert datetime.fromisoformat(good["until"]) > datetime.now(UTC)
