"""``letterlock ca renew`` and ``ca revoke-authority``: what becomes of an authority that issues.

See also
    ``pki/ca/succession.py`` (what is done), ``ca.py`` (all other verbs).
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from letterlock.cli import ca_tell as tell
from letterlock.cli import show
from letterlock.cli.certificate_import import keep
from letterlock.cli.connect import Door
from letterlock.errors import UsageError
from letterlock.pki import calls as pki
from letterlock.pki.ca import calls, publish, succession
from letterlock.pki.ca.issue import Office
from letterlock.pki.certificate import parse
from letterlock.vault.keys import new_id

KEYS = ("rsa-3072", "rsa-4096", "ec-p256", "ec-p384")


def add_parsers(verbs: Any) -> None:
    """The two verbs."""
    renewing = verbs.add_parser(
        "renew", help="a successor of an issuing authority, with a new key, below the same root"
    )
    renewing.add_argument("name")
    renewing.add_argument("--key", choices=KEYS, default=KEYS[0])
    renewing.add_argument("--token", action="store_true", help="make its key on the PKCS #11 token ([pkcs11])")
    renewing.add_argument("--days", type=int, default=1825, help="it ends no later than its root (1825)")
    revoking = verbs.add_parser(
        "revoke-authority", help="an issuing authority and all that it gave out are valid no more"
    )
    revoking.add_argument("name")
    revoking.add_argument("--generation", type=int, metavar="N", help="which one, when several follow one another")
    revoking.add_argument("--reason", choices=succession.REASONS, default="unspecified")
    for each in (renewing, revoking):
        show.add_json(each)


async def renew(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    """Make the successor, keep its certificate, publish its first list."""
    if not 1 <= arguments.days <= 36_500:
        raise UsageError("--days is a number from 1 to 36500.")
    now = datetime.now(UTC)
    made = await succession.succeed(
        office, arguments.name, arguments.key, arguments.days, now, on_token=arguments.token
    )
    certificate = parse(made.der)
    await keep(door, certificate, None, None, certificate.spki)
    await publish.refresh(office, now)
    return await _told(arguments, door)


async def revoke(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    """Revoke it, publish that, and deny it on our own trust list, which acts on mail at once."""
    now = datetime.now(UTC)
    gone = await succession.revoke_authority(office, arguments.name, arguments.generation, arguments.reason, now)
    await pki.set_ctl_entry(
        door.gate,
        token=door.token,
        id=new_id(),
        action="deny",
        by="thumbprint",
        digest=parse(gone.der).thumbprint,
        allow_expired=False,
        reason=f"our authority {gone.name} (generation {gone.generation}) was revoked: {arguments.reason}",
        until=None,
    )
    return await _told(arguments, door)


async def _told(arguments: argparse.Namespace, door: Door) -> int:
    rows = await calls.authorities(door.gate, token=door.token)
    return tell.authorities([each for each in rows if each.name == arguments.name], arguments.json)
