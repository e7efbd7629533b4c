"""Founds authorities and issues certificates.

Order
    A key is made in the keyholder; what is to be signed is put together; ``signed`` orders the signature in the database
    and has the keyholder carry it out; the result is stored. A crash in between leaves a key or a signature that
    nothing names, never a certificate that nobody knows: it is stored before anybody is told of it.

Guarantees
    An address gets a new key with each certificate, so a renewal is a new key; the old one stays to decrypt.

Standards
    RFC 5280 4, RFC 6960 4.1.1 (how an OCSP request names an issuer).

Raises
    NoAuthority, RequestInvalid, AuthorityError; what database and keyholder raise.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from cryptography import x509

from letterlock.database.connect import Gate
from letterlock.pki.ca import calls, tbs
from letterlock.pki.ca.calls import Authority
from letterlock.pki.ca.errors import AuthorityError, NoAuthority, RequestInvalid
from letterlock.pki.ca.profile import DEFAULT, Profile, made
from letterlock.pki.certificate import Certificate, match_form, parse
from letterlock.vault.keys import new_id
from letterlock.vault.opening import KeyholderClient

MAX_NAME: Final = 50
"""Characters of an authority's name: " Issuing CA" and a generation fit after it (64 in all, RFC 5280 A.1)."""


@dataclass(frozen=True, slots=True)
class Office:
    """Who works at the authority: a person with a token, or housekeeping without one."""

    gate: Gate
    keyholder: KeyholderClient
    token: bytes = field(default=b"", repr=False)


class Founding(NamedTuple):
    """What a new authority shall be. ``domains``: the only ones it may name; ``url``: of the public listener;
    ``on_token``: its keys are made on the PKCS #11 token."""

    organisation: UUID
    name: str
    url: str
    key: str = "rsa-3072"
    root_days: int = 3650
    issuing_days: int = 1825
    domains: Sequence[str] = ()
    holder: str = ""
    on_token: bool = False


class Made(NamedTuple):
    """A certificate that was issued. ``id``: in ca.issued and among the certificates of its address."""

    id: UUID
    certificate: Certificate
    key_id: UUID | None


async def signed(office: Office, kind: str, key: UUID, octets: bytes, request: UUID | None = None) -> bytes:
    """``octets`` signed by an authority's key: order it, have it carried out. Raises AuthorityError, KeyRefused."""
    order = new_id()
    answer = await calls.order_signature(
        office.gate, token=office.token, id=order, kind=kind, key_id=key, request=request, tbs=octets
    )
    if answer != "done":
        raise AuthorityError("The authority's key was not used.", detail=answer)
    return await office.keyholder.carry_out(order, office.token)


async def found(office: Office, wanted: Founding, now: datetime) -> tuple[Authority, Authority]:
    """A new root and the authority below it that issues. Raises AuthorityError when the name is none, or is taken."""
    _check_name(wanted.name)
    known = await calls.authorities(office.gate, token=office.token)
    if any(each.name == wanted.name and each.organisation == wanted.organisation for each in known):
        raise AuthorityError(f"There is an authority {wanted.name!r} already.")
    root = await found_one(office, wanted, None, now)
    return root, await found_one(office, wanted, root, now)


def _check_name(name: str) -> None:
    """Commands, lists and subjects show it: one line that can be read."""
    if name != name.strip() or not name or not name.isprintable():
        raise AuthorityError("An authority's name is one line of letters and figures, such as 'Example'.")
    if len(name) > MAX_NAME:
        raise AuthorityError(f"An authority's name has at most {MAX_NAME} characters.")


async def found_one(
    office: Office, wanted: Founding, root: Authority | None, now: datetime, generation: int = 1
) -> Authority:
    """A new root, or the authority below ``root`` that issues. ``generation``: from the second on its name has it too."""
    kind = "issuing" if root else "root"
    number = f" {generation}" if generation > 1 else ""
    subject = tbs.name(f"{wanted.name} {'Issuing' if root else 'Root'} CA{number}", wanted.holder)
    end = now + timedelta(days=wanted.issuing_days if root else wanted.root_days)
    key, spki = await office.keyholder.make_key(
        office.token, wanted.organisation, wanted.key, "authority", on_token=wanted.on_token
    )
    issuer = x509.load_der_x509_certificate(root.der) if root else None
    places = tbs.Places(root.url, root.label) if root else None
    if issuer is not None:
        end = min(end, issuer.not_valid_after_utc)
    octets = tbs.authority(subject, spki, issuer, places, end, now, wanted.domains if root else ())
    der = await signed(office, "authority", root.key_id if root else key, octets)
    made_one = Authority(
        id=new_id(),
        organisation=wanted.organisation,
        name=wanted.name,
        kind=kind,
        parent=root.id if root else None,
        label=secrets.token_hex(6),
        url=wanted.url,
        der=der,
        key_id=key,
        not_after=end,
        crl_number=0,
        crl_next=now,
        crl_until=None,
        generation=generation,
    )
    answer = await calls.add_authority(
        office.gate,
        token=office.token,
        id=made_one.id,
        organisation=made_one.organisation,
        name=made_one.name,
        kind=kind,
        generation=generation,
        parent=made_one.parent,
        label=made_one.label,
        url=made_one.url,
        der=der,
        spki=spki,
        key_id=key,
        not_after=end,
    )
    if answer != "done":
        raise AuthorityError(f"The authority {wanted.name!r} was not made: {answer}.")
    return made_one


async def issuing_authority(office: Office, name: str = "") -> Authority:
    """The newest issuing authority that is not revoked, of that name or of any. Raises NoAuthority."""
    rows = [
        each
        for each in await calls.authorities(office.gate, token=office.token)
        if each.kind == "issuing" and each.revoked_at is None and name in ("", each.name)
    ]
    if not rows:
        raise NoAuthority
    return rows[-1]


async def profile_named(office: Office, organisation: UUID, name: str) -> Profile:
    """A profile that was set; the factory's when it is the default one. Raises RequestInvalid."""
    for each in await calls.profiles(office.gate, token=office.token):
        if each.name == name and each.organisation == organisation:
            return made(each.body)
    if name == DEFAULT:
        return Profile()
    raise RequestInvalid(f"There is no profile {name!r}; 'letterlock ca profile list' shows those there are.")


class Subject(NamedTuple):
    """Who a certificate is for. ``name`` empty: the address stands for it."""

    address: str
    name: str = ""

    def checked(self) -> Subject:
        """With the address in match form. Raises RequestInvalid."""
        form = match_form(self.address)
        if not form:
            raise RequestInvalid(f"{self.address!r} is not a mail address.")
        tbs.alternative_name(form)
        tbs.name(self.common)
        return Subject(form, self.name)

    @property
    def common(self) -> str:
        """The common name: 64 characters at most (RFC 5280 A.1)."""
        return self.name or self.address[:64]

    def distinguished(self, profile: Profile) -> x509.Name:
        """The subject's name. Raises RequestInvalid."""
        return tbs.name(self.common, profile.organisation, profile.country)


async def issue(
    office: Office,
    authority: Authority,
    profile: tuple[str, Profile],
    subject: Subject,
    now: datetime,
    *,
    request: UUID | None = None,
    key: tuple[UUID, bytes] | None = None,
) -> Made:
    """A certificate with its key, stored as the address's signer and decrypter.

    ``profile``: name and what it says; ``request``: the one that is carried out; ``key``: id and public key, made here
    when None.
    """
    subject = subject.checked()
    key_id, spki = key or await office.keyholder.make_key(
        office.token, authority.organisation, profile[1].key, "mail", on_token=profile[1].on_token
    )
    issuer = x509.load_der_x509_certificate(authority.der)
    distinguished = subject.distinguished(profile[1])
    places = tbs.Places(authority.url, authority.label)
    octets = tbs.person(profile[1], distinguished, subject.address, spki, issuer, places, now)
    certificate = parse(await signed(office, "certificate", authority.key_id, octets, request))
    hashed = tbs.key_octets(issuer)
    given = Made(new_id(), certificate, key_id)
    answer = await calls.add_issued(
        office.gate,
        token=office.token,
        id=given.id,
        authority=authority.id,
        number=certificate.serial.to_bytes(16, "big"),
        key_sha1=hashlib.sha1(hashed, usedforsecurity=False).digest(),
        key_sha256=hashlib.sha256(hashed).digest(),
        address=subject.address,
        profile=profile[0],
        request=request,
        key_id=key_id,
        der=certificate.der,
        subject=certificate.subject,
        issuer=certificate.issuer,
        serial=certificate.issuer_serial,
        ski=certificate.key_identifier,
        spki=spki,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
    )
    if answer != "done":
        raise AuthorityError(f"The certificate of {subject.address} was not kept.", detail=answer)
    return given
