"""What becomes of an authority that issues: a successor with a new key, and revocation by its root.

Guarantees
    What a predecessor gave out stays valid: it goes on making its lists and answers, and gives out nothing more. A
    successor may name the domains that its predecessor might, and no others.
    An authority that is revoked issues no more from that moment; when ``revoke_authority`` returns, its root's list says
    so. That its certificates count for nothing here is the trust list's work: the command denies it there too.

Standards
    RFC 5280 5.3.1 (reasons).

Raises
    NoAuthority, AuthorityError; what database and keyholder raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from letterlock.pki.ca import calls
from letterlock.pki.ca.calls import Authority
from letterlock.pki.ca.errors import AuthorityError, NoAuthority
from letterlock.pki.ca.issue import Founding, Office, found_one
from letterlock.pki.ca.publish import refresh

REASONS: Final = ("unspecified", "keyCompromise", "cACompromise", "superseded", "cessationOfOperation")


async def succeed(
    office: Office, name: str, key: str, days: int, now: datetime, *, on_token: bool = False
) -> Authority:
    """A successor of the newest issuing authority of that name, below the same root. ``days``: it ends no later than
    its root; ``on_token``: its key is made on the PKCS #11 token."""
    predecessor, root = await _of(office, name)
    old = x509.load_der_x509_certificate(predecessor.der)
    holders = old.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    wanted = Founding(
        organisation=predecessor.organisation,
        name=name,
        url=predecessor.url,
        key=key,
        issuing_days=days,
        domains=_domains(old),
        holder=str(holders[0].value) if holders else "",
        on_token=on_token,
    )
    if root.not_after <= now + timedelta(days=1):
        raise AuthorityError(f"The root of {name!r} ends itself; found a new authority: letterlock ca create.")
    return await found_one(office, wanted, root, now, predecessor.generation + 1)


async def _of(office: Office, name: str) -> tuple[Authority, Authority]:
    """The newest issuing authority of a name, revoked or not, and its root. Raises NoAuthority."""
    rows = await calls.authorities(office.gate, token=office.token)
    known = [each for each in rows if each.kind == "issuing" and each.name == name]
    if not known:
        raise NoAuthority
    newest = max(known, key=lambda each: each.generation)
    return newest, next(each for each in rows if each.id == newest.parent)


def _domains(certificate: x509.Certificate) -> Sequence[str]:
    """The domains it may name; none: every one."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ()
    names = [each.value for each in constraints.permitted_subtrees or () if isinstance(each, x509.RFC822Name)]
    return [each for each in names if not each.startswith(".")]


async def revoke_authority(office: Office, name: str, generation: int | None, reason: str, now: datetime) -> Authority:
    """Revokes an issuing authority, and publishes that; again for one that is revoked already. ``generation`` None: the
    only one that is not revoked. Raises AuthorityError."""
    gone = chosen(await calls.authorities(office.gate, token=office.token), name, generation)
    serial = x509.load_der_x509_certificate(gone.der).serial_number.to_bytes(16, "big")
    answer = await calls.revoke_authority(office.gate, token=office.token, id=gone.id, serial=serial, reason=reason)
    if answer == "not-found":
        raise NoAuthority
    await refresh(office, now)
    return gone


def chosen(rows: Sequence[Authority], name: str, generation: int | None) -> Authority:
    """The issuing authority that is meant. Raises AuthorityError when there is none, or more than one."""
    named = [each for each in rows if each.kind == "issuing" and each.name == name]
    if generation is None:
        known = [each for each in named if each.revoked_at is None] or named
    else:
        known = [each for each in named if each.generation == generation]
    if not known:
        which = f" of generation {generation}" if named else ""
        raise AuthorityError(
            f"There is no authority {name!r}{which}; 'letterlock ca list' shows those there are.",
        )
    if len(known) > 1:
        numbers = ", ".join(str(each) for each in sorted(each.generation for each in known))
        raise AuthorityError(f"Say which with --generation: of the name {name!r} there are {numbers}.")
    return known[0]
