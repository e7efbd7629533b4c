"""A certificate with its key for somebody who keeps it themselves: a PKCS #12 file, by mail; its password another way.

Guarantees
    The password is made in the signer that seals the file (99 bits, none of the caller's choosing), and stands in no
    message made here: the caller shows it, prints it or has it sent by SMS.
    What leaves is recorded in the audit trail and in the keyholder's own log before it leaves.

    The certificate of somebody outside is held until ``confirm`` (database/sql/functions/ca/confirm.sql): the mail that
    brings the key, and all others, would otherwise be encrypted to a key that its owner does not have.

Standards
    RFC 7292 (PKCS #12), RFC 8018 6.2 (PBES2: PBKDF2 with HMAC-SHA-256, AES-256-CBC), RFC 7292 4 and Appendix A
    (integrity by HMAC-SHA-256).

Raises
    AuthorityError when there is no such certificate or no key of it here; what database and keyholder raise.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from letterlock.mail import compose
from letterlock.pki.ca import calls
from letterlock.pki.ca.calls import Issued
from letterlock.pki.ca.errors import AuthorityError
from letterlock.pki.ca.issue import Office
from letterlock.vault.errors import KeyRefused
from letterlock.vault.keys import Secret

FILE_NAME = "certificate.p12"
REASON = "handed to its owner (letterlock ca send)"

_TEXT = """\
{organisation} has made a certificate for {address}. It is in the attached file, with its private key and the
certificates above it. With it you can read encrypted mail and sign your own.

The file is locked. You get its password separately, not by e-mail. Open the file with your mail program or your
system's certificate manager, and type the password when you are asked.

Serial number of the certificate: {serial}
Valid until: {until}
"""


class Package(NamedTuple):
    """A PKCS #12 file, and the password that opens it."""

    certificate: Issued
    p12: bytes
    password: Secret


async def package(office: Office, certificate: UUID) -> Package:
    """The certificate with its key and chain. ``certificate``: its id."""
    found = await calls.issued(office.gate, token=office.token, address=None, id=certificate, max=1)
    if not found or found[0].key_id is None:
        raise AuthorityError("Our authorities gave out no such certificate with a key that is here.")
    issued = found[0]
    assert issued.key_id is not None
    if issued.revoked_at is not None:
        raise AuthorityError("The certificate is revoked; issue another one.")
    known = {each.id: each for each in await calls.authorities(office.gate, token=office.token)}
    chain = [issued.der]
    above: UUID | None = issued.authority
    while above is not None:
        chain.append(known[above].der)
        above = known[above].parent
    try:
        p12, password = await office.keyholder.export_key(
            office.token, issued.key_id, chain, issued.address, reason=REASON
        )
    except KeyRefused as error:  # such as a key on a token
        raise AuthorityError(error.public) from error
    return Package(issued, p12, password)


def message(parcel: Package, sender: str, organisation: str, now: float) -> bytes:
    """The mail that brings the file; without the password. Raises AddressInvalid."""
    issued = parcel.certificate
    text = _TEXT.format(
        organisation=organisation,
        address=issued.address,
        serial=issued.serial.hex(),
        until=issued.not_after.date().isoformat(),
    )
    parts = [compose.text(text), compose.attachment(parcel.p12, "application/pkcs12", FILE_NAME)]
    fields = [
        compose.date_field(now),
        compose.address_field("From", [("", sender)]),
        compose.address_field("To", [("", issued.address)]),
        compose.field("Subject", f"Your certificate for {issued.address}"),
        compose.field("Message-ID", compose.new_message_id(sender.rpartition("@")[2])),
        compose.field("Auto-Submitted", "auto-generated"),
    ]
    return compose.message(fields, compose.multipart("mixed", parts))
