"""What a Plan cannot express."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from letterlock.decision.plan import Addressee, Delivery, Hold, Plan, PlanUnlawful, Refusal, join, shared
from tests.fakes.facts import candidate

BOB, CARL = "bob@partner.example", "carl@partner.example"
WAY: dict[str, Any] = {
    "direction": "outgoing",
    "domain": "partner.example",
    "next_hop": "",
    "tls_min": 1,
    "expires_at": 1.0,
}


def addressee(address: str = BOB, required: Any = "none", *, certified: bool = False) -> Addressee:
    return Addressee(address, required, (candidate(address),) if certified else ())


@pytest.mark.req("A6")
def test_plain_where_encryption_is_mandatory() -> None:
    with pytest.raises(PlanUnlawful):
        Delivery(method="plain", addressees=(addressee(required="mandatory"),), **WAY)


@pytest.mark.req("A6")
def test_only_signed_where_encryption_is_mandatory() -> None:
    with pytest.raises(PlanUnlawful):
        Delivery(
            method="smime",
            addressees=(addressee(required="mandatory"),),
            signer=candidate("ann@inside.example", key=True),
            **WAY,
        )


def test_encrypted_for_somebody_else() -> None:
    both = (addressee(BOB, "mandatory", certified=True), addressee(CARL, "mandatory"))
    with pytest.raises(PlanUnlawful):
        Delivery(method="smime", addressees=both, cipher="aes256-cbc", transport="rsa-pkcs1", **WAY)


@pytest.mark.req("B4", "B11")
@pytest.mark.parametrize(("kind", "transport"), [("ec", "rsa-pkcs1"), ("ml-kem", "rsa-pkcs1"), ("rsa", "")])
def test_keys_of_different_kinds_in_one_message(kind: str, transport: str) -> None:
    both = (addressee(BOB, certified=True), Addressee(CARL, "none", (candidate(CARL, kind=kind),)))
    with pytest.raises(PlanUnlawful):
        Delivery(method="smime", addressees=both, cipher="aes256-cbc", transport=transport, **WAY)


def test_hidden_recipient_in_company() -> None:
    both = (addressee(BOB, certified=True), addressee(CARL, certified=True))
    with pytest.raises(PlanUnlawful):
        Delivery(method="smime", addressees=both, cipher="aes256-cbc", transport="rsa-pkcs1", hidden=True, **WAY)


@pytest.mark.parametrize(
    "more",
    [
        {"method": "plain", "cipher": "aes256-cbc"},
        {"method": "plain", "by_client": True},
        {"method": "smime"},
    ],
)
def test_method_and_protection_disagree(more: dict[str, Any]) -> None:
    with pytest.raises(PlanUnlawful):
        Delivery(addressees=(addressee(certified=True),), **more, **WAY)


def test_checks_hold_for_copies_too() -> None:
    shape = Delivery(method="plain", addressees=(addressee(),), **WAY)
    with pytest.raises(PlanUnlawful):
        shared(shape, [addressee(BOB, "mandatory")])
    with pytest.raises(PlanUnlawful):
        msgspec.structs.replace(shape, addressees=())


@pytest.mark.req("A12")
def test_a_recipient_forgotten_doubled_or_unknown() -> None:
    delivery = Delivery(method="plain", addressees=(addressee(),), **WAY)
    Plan(recipients=(BOB,), deliveries=(delivery,))
    with pytest.raises(PlanUnlawful):
        Plan(recipients=(BOB, CARL), deliveries=(delivery,))
    with pytest.raises(PlanUnlawful):
        Plan(recipients=(BOB,), deliveries=(delivery,), holds=(Hold((BOB,), "no-method", 1.0),))
    with pytest.raises(PlanUnlawful):
        Plan(recipients=(BOB,), refusals=(Refusal((CARL,), "loop", "5.4.6", ""),))
    with pytest.raises(PlanUnlawful):
        join(Plan(recipients=(BOB,), deliveries=(delivery,)), Plan(recipients=(BOB,), deliveries=(delivery,)))
