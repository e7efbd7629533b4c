"""Revokes a certificate that we gave out, and publishes that at once.

Guarantees
    When ``revoke`` returns, the new list and the new OCSP answer are published. Should the keyholder be away then, the
    revocation stands all the same, and housekeeping publishes it.

Standards
    RFC 5280 5.3.1 (reasons).

Raises
    AuthorityError; what database and keyholder raise.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from letterlock.pki.ca import calls
from letterlock.pki.ca.errors import AuthorityError
from letterlock.pki.ca.issue import Office
from letterlock.pki.ca.publish import refresh

REASONS: Final = (
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)
"""Those a person's certificate can have: no hold, since a hold that is lifted makes old signatures doubtful."""


async def revoke(office: Office, certificate: UUID, reason: str, now: datetime) -> str:
    """'done' or 'already'. ``certificate``: its id. Raises AuthorityError."""
    if reason not in REASONS:
        raise AuthorityError(f"The reason is one of {', '.join(REASONS)}.")
    answer = await calls.revoke(office.gate, token=office.token, id=certificate, reason=reason)
    if answer == "not-found":
        raise AuthorityError(
            "Our authorities gave out no such certificate; 'letterlock ca issued' shows those they did."
        )
    await refresh(office, now)
    return answer
