"""Handlers of requests: each carries a request out its own way, behind one seam.

States
    due          to be carried out now, or again at due_at
    approval     waits until a person approves it (handler ``delayed``), then due
    certificate  the PKCS #10 request is made; waits for the certificate of an authority elsewhere (handler ``pkcs10``)
    enrolling    an authority elsewhere is asked step by step (handler ``acme``; pki/acme)
    done, rejected, failed

Guarantees
    A handler may be asked again for the same request at any time: a certificate is stored and its request done in one
    transaction, so none is given out twice; a PKCS #10 request that was made is used again.

Standards
    RFC 2986 (PKCS #10).

Raises
    What may work later is any temporary error; a permanent one ends the request.

See also
    ``handlers.py`` (all of them), ``pending.py`` (when they are asked); tests/stories/test_authority.py (what
    each must keep).
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from letterlock.pki.ca import calls, tbs
from letterlock.pki.ca.calls import Request
from letterlock.pki.ca.errors import RequestInvalid
from letterlock.pki.ca.issue import Office, Subject, issue, issuing_authority, profile_named, signed
from letterlock.pki.ca.profile import Profile


class Outcome(NamedTuple):
    """What became of a request. ``issued``: the certificate; ``csr``: a PKCS #10 request, DER."""

    state: Literal["done", "certificate", "enrolling"]
    key_id: UUID | None = None
    csr: bytes | None = None
    issued: UUID | None = None


class Handler(Protocol):
    """Gets a certificate for a request that is due."""

    async def carry_out(self, office: Office, request: Request, now: datetime) -> Outcome:
        """Do it, or as much as can be done now. Raises LetterlockError."""
        ...


class BuiltIn:
    """Our own authority issues at once; for ``delayed`` too, once a person has approved."""

    async def carry_out(self, office: Office, request: Request, now: datetime) -> Outcome:
        """See Handler."""
        authority = await issuing_authority(office, request.authority)
        profile = await profile_named(office, authority.organisation, request.profile)
        subject = Subject(request.address, request.name)
        key = await _key_for(office, request, authority.organisation, profile, now)
        made = await issue(office, authority, (request.profile, profile), subject, now, request=request.id, key=key)
        return Outcome("done", key_id=made.key_id, issued=made.id)


class Pkcs10:
    """A key is made and asks for its certificate; a person carries the request to another authority."""

    async def carry_out(self, office: Office, request: Request, now: datetime) -> Outcome:
        """See Handler."""
        key, csr = await pkcs10(office, request, now)
        return Outcome("certificate", key_id=key, csr=csr)


async def pkcs10(office: Office, request: Request, now: datetime) -> tuple[UUID, bytes]:
    """The key of a request and its PKCS #10 request, DER; made when they are not there."""
    if request.csr is not None and request.key_id is not None:
        return request.key_id, request.csr
    profile = await profile_named(office, request.organisation, request.profile)
    subject = Subject(request.address, request.name).checked()
    key, spki = await _key_for(office, request, request.organisation, profile, now)
    octets = tbs.certification_request(subject.distinguished(profile), spki, subject.address)
    return key, await signed(office, "request", key, octets, request.id)


async def _key_for(
    office: Office, request: Request, organisation: UUID, profile: Profile, now: datetime
) -> tuple[UUID, bytes]:
    """A new key, known as the request's: a signer certifies no other for it. Raises RequestInvalid."""
    key, spki = await office.keyholder.make_key(
        office.token, organisation, profile.key, "mail", on_token=profile.on_token
    )
    kept = await calls.put_request(
        office.gate,
        token=office.token,
        id=request.id,
        state="due",
        reason="",
        due_at=now,
        key_id=key,
        csr=None,
        issued=None,
    )
    if kept != "done":
        raise RequestInvalid("The request is not open any more.")
    return key, spki


def check_answer(request: Request, der: bytes) -> None:
    """The certificate is for the key and the address of the request. Raises RequestInvalid."""
    if request.csr is None or request.state != "certificate":
        raise RequestInvalid("The request does not wait for a certificate.")
    asked = x509.load_der_x509_csr(request.csr)
    got = x509.load_der_x509_certificate(der)
    spki = [each.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for each in (asked, got)]
    if spki[0] != spki[1]:
        raise RequestInvalid("The certificate is for another key than the request's.")
