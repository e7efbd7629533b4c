"""Certificates, lists and answers made to be accepted wrongly, or to cost time: bounded, and the answer is no.

See also
    ``tests/unit/pki`` for the rules one by one; ``tests/foreign/test_path_vectors.py`` for suites made elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ReasonFlags, ocsp

from letterlock.pki import crl, packed
from letterlock.pki import ocsp as answers
from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.chains import index
from letterlock.pki.ctl import Ctl, CtlEntry
from letterlock.pki.packed import Packed
from letterlock.pki.path import Rules, Verdict, validate
from letterlock.pki.policy_tree import ANY_POLICY, PolicyRules
from letterlock.pki.reasons import Reason
from letterlock.pki.revocation import Knowledge, Mode
from letterlock.pki.trust import Trust
from tests.fakes.authority import Authority, Identity
from tests.fakes.revocation import (
    distribution_point,
    make_answer,
    make_crl,
    make_large_crl,
    mappings,
    odd_authority,
    policies,
)

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def anchor() -> Authority:
    return Authority.create("Anchor")


@pytest.fixture(autouse=True)
def _this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long run the file was read long ago, and lists and answers made now would be of the future."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Processor time, so that other work on the machine does not count."""
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds


def ask(
    person: Identity, via: list[Authority] | list[Certificate], anchor: Authority, rules: Rules = Rules("sign")
) -> Verdict:
    pool = [each if isinstance(each, Certificate) else parse(each.der) for each in via]
    return validate(parse(person.der), index(pool), index([parse(anchor.der)]), NOW, rules)


def batch(*cases: dict[str, Any] | bytes) -> tuple[list[dict[str, Any]], float]:
    """The answers of `letterlock pki check --batch`, and the longest time between two of them."""
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in cases]
    command = [sys.executable, "-m", "letterlock", "pki", "check", "--batch"]
    found, longest = [], 0.0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for line in [b"{}", *lines]:  # the first waits for the program to start
            began = time.monotonic()
            running.stdin.write(line + b"\n")
            running.stdin.flush()
            found.append(json.loads(running.stdout.readline()))
            longest = max(longest, time.monotonic() - began) if len(found) > 1 else 0.0
        running.stdin.close()
        assert running.wait() == 0
    return found[1:], longest


def encoded(octets: bytes) -> str:
    return b64encode(octets).decode()


@pytest.mark.req("C1")
def test_a_cycle_of_authorities_ends(anchor: Authority) -> None:
    ring = [Authority.create(f"Ring {number}") for number in range(6)]
    cycle = [one.cross(other) for one, other in zip(ring, [*ring[1:], ring[0]], strict=True)]
    person = ring[0].issue("a@example.org", "p256")
    with within(1):
        assert ask(person, cycle, anchor).reasons == (Reason.UNTRUSTED,)
    with within(1):
        assert ask(person, [*cycle, anchor.cross(ring[3])], anchor).ok


@pytest.mark.req("C1")
@pytest.mark.slow
def test_thousands_of_namesakes_do_not_hide_the_real_issuer(anchor: Authority) -> None:
    """A crowd of certificates of the issuer's name, each with another key, all signed by the anchor."""
    real = anchor.intermediate("Crowd")
    person = real.issue("a@example.org", "p256")
    crowd = [parse(anchor.intermediate("Crowd").der) for _ in range(2000)]
    with within(1):
        assert ask(person, [*crowd, parse(real.der)], anchor).ok
    with within(1):
        assert not ask(person, crowd, anchor).ok


@pytest.mark.req("C1")
@pytest.mark.slow
def test_namesakes_with_the_same_key_are_left_after_some(anchor: Authority) -> None:
    """The same name and key, certified a thousand times by somebody who is not trusted: no more than the bound."""
    real, stranger = anchor.intermediate("Many"), Authority.create("Anchor")
    person = real.issue("a@example.org", "p256")
    crowd = [parse(stranger.cross(real).der) for _ in range(1000)]
    with within(2):
        verdict = ask(person, crowd, anchor)
    assert not verdict.ok
    assert len(verdict.rejected) <= 20


@pytest.mark.req("C1")
@pytest.mark.slow
@pytest.mark.parametrize("width", [10, 60])
def test_policies_that_multiply_cost_no_more_than_they_weigh(anchor: Authority, width: int) -> None:
    """CVE-2023-0464: each authority maps each policy to several; a tree of them has width ** depth leaves."""
    names = [f"1.3.6.1.4.1.99999.{number}" for number in range(width)]
    every = mappings([(one, other) for one in names[:20] for other in names[:20]])
    chain = [anchor]
    for depth in range(6):
        required = (x509.PolicyConstraints(0, None), True)
        chain.append(odd_authority(f"Deep {depth}", chain[-1], [policies(*names), every, required]))
    person = chain[-1].issue("a@example.org", "p256", extensions=[policies(*names[:1])])
    with within(1):
        assert ask(person, chain[1:], anchor).ok
    stranger = PolicyRules(frozenset(("1.2.3.4",)), explicit=True)
    with within(1):
        assert ask(person, chain[1:], anchor, Rules("sign", policies=stranger)).reasons == (Reason.POLICY,)


@pytest.mark.req("C1")
@pytest.mark.parametrize(
    "extension", [policies(*(f"1.2.3.{n}" for n in range(3000))), mappings([("1.2.3", "1.2.4")] * 3000)]
)
def test_more_policies_than_anybody_needs_are_refused(anchor: Authority, extension: tuple[Any, bool]) -> None:
    above = odd_authority("Verbose", anchor, [extension])
    assert ask(above.issue("a@example.org", "p256"), [above], anchor).reasons == (Reason.POLICY,)


@pytest.mark.req("C1")
def test_a_mapping_from_any_policy_is_refused(anchor: Authority) -> None:
    above = odd_authority("Mapper", anchor, [policies(ANY_POLICY), mappings([(ANY_POLICY, "1.2.3.4")])])
    person = above.issue("a@example.org", "p256", extensions=[policies("1.2.3.4")])
    assert ask(person, [above], anchor).reasons == (Reason.POLICY,)


@pytest.mark.req("C1")
@pytest.mark.slow
def test_oversized_name_constraints_are_bounded(anchor: Authority) -> None:
    """Thousands of constraints times thousands of names: refused within the time, never accepted."""
    many = [x509.RFC822Name(f"h{number}.example.org") for number in range(4000)]
    above = odd_authority("Strict", anchor, [(x509.NameConstraints(None, many), True)])
    person = above.issue([f"a@x{number}.example.org" for number in range(3000)], "p256")
    with within(2):
        verdict = ask(person, [above], anchor)
    assert not verdict.ok


@pytest.mark.req("C2")
@pytest.mark.slow
@pytest.mark.parametrize("indirect", [False, True])
def test_a_list_of_ten_megabytes(anchor: Authority, indirect: bool) -> None:
    """Some 280,000 entries: read, checked and searched within the bound, and both answers are right."""
    person, other = anchor.issue("a@example.org", "p256"), anchor.issue("b@example.org", "p256")
    taken = []
    for first in range(1 << 140, (1 << 140) + 3):  # a new list each time: one that was read before costs nothing
        serials = [*range(first, first + 280_000), person.certificate.serial_number]
        octets = make_large_crl(anchor, serials, [distribution_point(indirect=True)] if indirect else [])
        assert len(octets) > 10_000_000
        began = time.process_time()
        known = Knowledge((crl.parse(octets),))
        found = [
            validate(parse(each.der), {}, index([parse(anchor.der)]), NOW, Rules("sign", "hard"), known)
            for each in (person, other)
        ]
        taken.append(time.process_time() - began)
        assert found[0].reasons == (Reason.REVOKED,)
        assert found[1].ok
        if taken[-1] < 2:
            return
    pytest.fail(f"{taken} seconds of processor")  # neighbours that share caches can only add to it


@pytest.mark.req("C2")
@pytest.mark.slow
@pytest.mark.parametrize("alike", [True, False])
def test_a_list_of_twenty_megabytes_costs_the_parent_nothing(anchor: Authority, alike: bool) -> None:
    """A child packs it, whether or not its entries resemble one another; the parent pays for a copy and a digest."""
    person = anchor.issue("a@example.org", "p256")
    serials = range(1 << 140, (1 << 140) + 500_000) if alike else [1 << 8 * (n % 60) | n for n in range(1, 500_001)]
    octets = make_large_crl(anchor, [*serials, person.certificate.serial_number])
    with within(6):
        made = Packed.of(packed.pack(octets))
    with within(0.3):
        long = crl.outline(octets, made)
        assert crl.is_signed_by(long, parse(anchor.der))
        assert long.entry(parse(person.der)) is not None
        for _ in range(1000):
            assert long.entry(parse(anchor.der)) is None


@pytest.mark.req("C4")
def test_answers_of_unauthorised_responders_are_not_heard(anchor: Authority) -> None:
    """Only the issuer, or whom it authorised for answering, may say good; nobody else may say revoked either."""
    person = anchor.issue("a@example.org", "p256")
    stranger = Authority.create("Stranger")
    signing = (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.9")]), False)
    refused = {
        "another authority": make_answer(person, anchor, stranger),
        "a person of the issuer": make_answer(person, anchor, anchor.issue("r@example.org", "p256")),
        "the certificate itself": make_answer(person, anchor, person),
        "authorised by another": make_answer(
            person, anchor, stranger.issue("r@example.org", "p256", purposes=None, extensions=[signing])
        ),
        "revoked by a stranger": make_answer(person, anchor, stranger, status=ocsp.OCSPCertStatus.REVOKED),
        "about another": make_answer(anchor.issue("b@example.org", "p256"), anchor),
    }
    for name, octets in refused.items():
        known = Knowledge(answers=(answers.parse(octets),))
        verdict = validate(parse(person.der), {}, index([parse(anchor.der)]), NOW, Rules("sign", "hard"), known)
        assert verdict.reasons == (Reason.REVOCATION_UNKNOWN,), name


@pytest.mark.req("C2")
def test_lists_of_strangers_neither_clear_nor_revoke(anchor: Authority) -> None:
    """A list in the issuer's name but with another key says nothing, whatever it says."""
    person = anchor.issue("a@example.org", "p256")
    forged = Authority.create("Anchor")
    for revoked in ({}, {person.certificate.serial_number: ReasonFlags.key_compromise}):
        known = Knowledge((crl.parse(make_crl(forged, revoked)),))
        anchors = index([parse(anchor.der)])
        pool = index([parse(forged.der)])
        modes: list[tuple[Mode, tuple[Reason, ...]]] = [("hard", (Reason.REVOCATION_UNKNOWN,)), ("soft", ())]
        for mode, reasons in modes:
            verdict = validate(parse(person.der), pool, anchors, NOW, Rules("sign", mode), known)
            assert verdict.reasons == reasons


@pytest.mark.req("C3")
@pytest.mark.parametrize("known", [True, False])
def test_the_child_of_a_forbidden_authority_is_not_saved_by_an_entry_that_allows_it(
    anchor: Authority, known: bool
) -> None:
    """Whether or not the authority still has a path to an anchor."""
    bad = anchor.intermediate("Bad")
    below = bad.intermediate("Below")
    person = below.issue("a@example.org", "p256")
    digest = hashlib.sha256(parse(bad.der).spki).digest()
    entries = [
        CtlEntry("deny", "spki", digest, reason="compromised", author="admin"),
        CtlEntry("allow", "thumbprint", parse(person.der).thumbprint, allow_expired=True),
    ]
    anchors = [parse(anchor.der)] if known else []
    trust = Trust(anchors, [parse(bad.der), parse(below.der)], ctl=Ctl(entries))
    assert trust.verdict(parse(person.der), NOW, "sign").reasons == (Reason.FORBIDDEN,)
    alone = Trust(anchors, [parse(bad.der), parse(below.der)], ctl=Ctl(entries[1:]))
    assert alone.verdict(parse(person.der), NOW, "sign").ok


@pytest.mark.req("C1")
@pytest.mark.parametrize("where", ["leaf", "intermediate", "list"])
def test_a_critical_extension_nobody_knows(anchor: Authority, where: str) -> None:
    odd = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)
    above = odd_authority("Odd", anchor, [odd] if where == "intermediate" else [])
    person = above.issue("a@example.org", "p256", extensions=[odd] if where == "leaf" else [])
    lists = Knowledge(
        (crl.parse(make_crl(above, extensions=[odd] if where == "list" else [])), crl.parse(make_crl(anchor)))
    )
    pool, anchors = index([parse(above.der)]), index([parse(anchor.der)])
    verdict = validate(parse(person.der), pool, anchors, NOW, Rules("sign", "hard"), lists)
    expected = Reason.REVOCATION_UNKNOWN if where == "list" else Reason.CRITICAL_EXTENSION
    assert verdict.reasons == (expected,)


@pytest.mark.req("C1")
@pytest.mark.slow
def test_a_batch_goes_on_whatever_a_line_holds(anchor: Authority) -> None:
    person = anchor.issue("a@example.org", "p256")
    good = {"id": 1, "leaf": encoded(person.der), "anchors": [encoded(anchor.der)], "purpose": "sign"}
    crowd = [encoded(anchor.intermediate("Crowd").certificate.public_bytes(Encoding.DER)) for _ in range(300)]
    found, longest = batch(
        good,
        b"",
        b"not JSON",
        b"[" * 100_000,
        b'{"id": "half", "leaf": "AAAA"',
        {"id": {"any": ["value"]}, "leaf": "????"},
        {"id": 7, "leaf": encoded(b"\x30\x03\x02\x01\x01")},
        {**good, "id": 8, "at": "yesterday"},
        {**good, "id": 9, "purpose": "everything"},
        {**good, "id": 10, "intermediates": crowd * 40},
        {**good, "id": 11, "crls": [encoded(b"\x30\x80" + bytes(1_000_000))], "revocation": "require"},
        b"\xff\xfe\x00" * 1000,
        {**good, "id": 12, "address": "b@example.org"},
        {**good, "id": "last"},
    )
    assert longest < 2
    no = [False, ["malformed-case"]]
    assert [[each["id"], each["ok"], each["reasons"]] for each in found] == [
        [1, True, []],
        [None, *no],
        [None, *no],
        [None, *no],
        [None, *no],
        [{"any": ["value"]}, *no],
        [7, False, ["malformed"]],
        [8, *no],
        [9, *no],
        [10, True, []],
        [11, *no],
        [None, *no],
        [12, False, ["address-mismatch"]],
        ["last", True, []],
    ]
