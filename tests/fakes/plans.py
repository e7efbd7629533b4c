"""Deliveries as a plan holds them, for tests of what is done with them."""

from __future__ import annotations

from typing import Any

from letterlock.decision.plan import Addressee, Delivery
from letterlock.pki.select import Candidate
from tests.fakes.facts import candidate


def delivery(*, encrypted: bool = True, signer: Candidate | None = None, **more: Any) -> Delivery:
    """An outgoing S/MIME delivery to one recipient."""
    return Delivery(
        method="smime",
        direction="outgoing",
        addressees=(Addressee("bob@example.net", certificates=(candidate("bob@example.net"),)),),
        domain="example.net",
        next_hop="",
        tls_min=0,
        expires_at=0.0,
        signer=signer,
        cipher="aes256-cbc" if encrypted else "",
        transport="rsa-pkcs1" if encrypted else "",
        **more,
    )
