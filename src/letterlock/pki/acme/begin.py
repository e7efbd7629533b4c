"""The handler ``acme``: a request becomes an enrolment at an authority elsewhere; housekeeping carries it on.

Order
    The organisation's account key and the certificate's key are made by the keyholder, the PKCS #10 request is signed;
    then the enrolment stands in the database, and the request is in the state ``enrolling``.

Guarantees
    Carried out again, it makes nothing twice: keys and PKCS #10 request that are there are used.
    Only addresses of internal domains are enrolled: the challenge mail for others would not come here.

Standards
    RFC 8555 7.3 (accounts), RFC 8823 3 (one order for one address).

Raises
    NoDirectory, RequestInvalid; what database and keyholder raise.

See also
    ``drive.py`` (what happens next), ``pki/ca/handlers.py``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from letterlock.mail.address import Address
from letterlock.pki.acme import calls
from letterlock.pki.ca import calls as ca
from letterlock.pki.ca.calls import Request
from letterlock.pki.ca.errors import AuthorityError, RequestInvalid
from letterlock.pki.ca.issue import Office
from letterlock.pki.ca.request import Outcome, pkcs10
from letterlock.policy.effective import EffectiveSettings, of_rows
from letterlock.policy.settings import authority, mail

ACCOUNT_KEY: Final = "ec-p256"


class NoDirectory(AuthorityError):
    """No ACME server is set: give its directory's address in the setting acme_directory."""


class Acme:
    """An authority elsewhere that speaks ACME and proves addresses by mail."""

    async def carry_out(self, office: Office, request: Request, now: datetime) -> Outcome:
        """See Handler."""
        rows = await ca.settings_for(office.gate, token=office.token, addresses=[request.address])
        settings = of_rows([request.address], rows)[request.address]
        directory = settings.value(authority.ACME_DIRECTORY)
        if not directory:
            raise NoDirectory
        account = await _account(office, request.organisation, directory)
        key, csr = await pkcs10(office, request, now)
        begun = await calls.begin(
            office.gate,
            token=office.token,
            request=request.id,
            account=account,
            directory=directory,
            body={
                "contact": _contact(settings),
                "agreed": settings.value(authority.ACME_TERMS_AGREED),
                "head_start": settings.value(authority.ACME_HEAD_START).total_seconds(),
            },
            ends_at=now + settings.value(authority.ACME_PATIENCE),
        )
        if begun == "foreign":
            raise RequestInvalid(f"{request.address} is of no internal domain: the challenge mail would not come here.")
        if begun != "done":
            raise RequestInvalid("The request is not open any more.")
        return Outcome("enrolling", key_id=key, csr=csr)


def _contact(settings: EffectiveSettings) -> str:
    """Who answers for the account (RFC 8555 7.3)."""
    own = settings.value(authority.ACME_CONTACT)
    if own:
        return own
    found = settings.effective(mail.POSTMASTER)
    return f"postmaster@{Address.parse(settings.address).domain}" if found.level == "factory" else found.value


async def _account(office: Office, organisation: UUID, directory: str) -> UUID:
    """The key of the organisation's account; made when there is none."""
    found = await calls.account(office.gate, token=office.token, organisation=organisation, directory=directory)
    if found is not None:
        return found
    key, _ = await office.keyholder.make_key(office.token, organisation, ACCOUNT_KEY, "account")
    answer = await calls.add_account(
        office.gate, token=office.token, organisation=organisation, directory=directory, key_id=key
    )
    if answer == "done":
        return key
    found = await calls.account(office.gate, token=office.token, organisation=organisation, directory=directory)
    if found is None:
        raise AuthorityError("The account's key was not kept.", detail=answer)
    return found
