"""What is kept of a signed message: only what would also be encrypted to, and little of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from letterlock.pki.certificate import Certificate, parse
from letterlock.pki.harvest import MOST, Found, Signed, harvest
from letterlock.pki.trust import Trust
from tests.fakes.authority import Authority, Identity

pytestmark = pytest.mark.req("B5")

NOW = datetime.now(UTC)
CARL = "carl@out.test"


@pytest.fixture(scope="module")
def anchor() -> Authority:
    return Authority.create("Anchor")


def _of(identity: Identity) -> Certificate:
    return parse(identity.der)


def _harvest(anchor: Authority, author: str, signer: Identity, *brought: Identity) -> tuple[Found, ...]:
    signed = Signed(_of(signer), frozenset({"aes256-gcm"}), NOW)
    trust = Trust([parse(anchor.der)])
    return harvest(author, [signed], [parse(anchor.der), *map(_of, (signer, *brought))], trust, NOW)


def test_the_signers_certificate_with_its_capabilities(anchor: Authority) -> None:
    signer = anchor.issue(CARL)
    (found,) = _harvest(anchor, CARL, signer)
    assert found == Found(CARL, _of(signer), frozenset({"aes256-gcm"}), NOW)


def test_another_key_to_encrypt_with_comes_along(anchor: Authority) -> None:
    signer = anchor.issue(CARL, usage=("digital_signature",))
    reader = anchor.issue(CARL, "rsa2048", usage=("key_encipherment",))
    assert [each.certificate for each in _harvest(anchor, CARL, signer, reader)] == [_of(reader)]


def test_the_one_it_asks_to_be_answered_with_comes_first(anchor: Authority) -> None:
    signer, other = anchor.issue(CARL), anchor.issue(CARL, "rsa2048")
    signed = Signed(_of(signer), None, NOW, _of(other))
    brought = [_of(each) for each in (signer, *(anchor.issue(CARL) for _ in range(MOST)), other)]
    found = harvest(CARL, [signed], brought, Trust([parse(anchor.der)]), NOW)
    assert [(each.certificate, each.preferred) for each in found[:2]] == [(_of(other), True), (_of(signer), False)]
    assert len(found) == MOST
    stranger = Signed(_of(signer), None, NOW, _of(anchor.issue("dora@out.test")))
    assert not any(each.preferred for each in harvest(CARL, [stranger], brought, Trust([parse(anchor.der)]), NOW))


def test_what_is_not_kept(anchor: Authority) -> None:
    signer = anchor.issue(CARL)
    strangers = [
        anchor.issue("dora@out.test"),
        Authority.create("Somebody's own").issue(CARL),
        anchor.issue(CARL, not_after=NOW - timedelta(hours=1)),
        anchor.issue(CARL, purposes=("server",)),
    ]
    assert [each.certificate for each in _harvest(anchor, CARL, signer, *strangers)] == [_of(signer)]
    assert _harvest(anchor, "dora@out.test", signer) == ()
    assert _harvest(anchor, "", signer) == ()
    assert harvest(CARL, [], [_of(signer)], Trust([parse(anchor.der)]), NOW) == ()


def test_a_message_brings_few(anchor: Authority) -> None:
    signer = anchor.issue(CARL)
    assert len(_harvest(anchor, CARL, signer, *(anchor.issue(CARL) for _ in range(MOST + 2)))) == MOST
