"""``letterlock trust``: the certificates of authorities that paths may end in, and the list of what is allowed or denied.

Guarantees
    ``add`` takes all certificates of a file or none: every one must be an authority's, so that a bundle with a person's
    certificate in it does not make that person an authority. Adding and removing are audited.
    ``allow`` and ``deny`` need a reason; who entered it is kept with it, and an end if one is given.
    Exit code 1 when there is no such anchor, or a certificate is no authority's.

See also
    ``pki/path.py`` for what an anchor means; ``cli/certificate.py`` for import without trust.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from letterlock.cli import certificate as certificates
from letterlock.cli import certificate_import, show
from letterlock.cli.connect import Door
from letterlock.errors import PermanentError, UsageError
from letterlock.pki import calls
from letterlock.pki.certificate import Certificate, parse
from letterlock.vault.keys import new_id


class NotAnAuthority(PermanentError):
    """The certificate is no authority's."""


def add_parser(subparsers: Any) -> None:
    """``trust add``, ``list``, ``remove``."""
    parser = subparsers.add_parser("trust", help="trusted root certificates")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    adding = verbs.add_parser("add", help="trust the authorities' certificates of a PEM, DER or P7B file")
    adding.add_argument("file", metavar="FILE", help="- for standard input")
    show.add_json(adding)
    for name, line in (
        ("allow", "take a person's certificate or key although no path leads to an anchor"),
        ("deny", "refuse a certificate or key, and what it issued, whatever its path"),
    ):
        verb = verbs.add_parser(name, help=line)
        verb.add_argument(
            "what", metavar="WHAT", help="a file with one certificate, or id or thumbprint of a stored one"
        )
        verb.add_argument("--key", action="store_true", help="its public key, so that renewals with it are meant too")
        verb.add_argument("--reason", required=True, help="why; shown and audited")
        verb.add_argument("--until", metavar="DATE", help="until this day or time (2027-12-31, or with T12:00Z)")
        show.add_json(verb)
        if name == "allow":
            verb.add_argument("--allow-expired", action="store_true", help="although its validity has ended")
    show.add_json(verbs.add_parser("list", help="the anchors, and what is allowed and denied"))
    removing = verbs.add_parser("remove", help="trust a certificate no more, or end an entry of the trust list")
    removing.add_argument("which", metavar="WHICH", help="id or thumbprint of an anchor; id of an entry")
    show.add_json(removing)


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    verbs = {"add": _add, "list": _list, "remove": _remove, "allow": _enter, "deny": _enter}
    return await verbs[arguments.verb](arguments, door)


async def _enter(arguments: argparse.Namespace, door: Door) -> int:
    """allow or deny: one entry of the trust list."""
    certificate = _in_file(arguments.what) or await _named(arguments.what, door)
    by = "spki" if arguments.key else "thumbprint"
    digest = hashlib.sha256(certificate.spki).digest() if arguments.key else certificate.thumbprint
    if not arguments.reason.strip():
        raise UsageError("--reason says why; it cannot be empty.")
    _, entry = await calls.set_ctl_entry(
        door.gate,
        token=door.token,
        id=new_id(),
        action=arguments.verb,
        by=by,
        digest=digest,
        allow_expired=bool(getattr(arguments, "allow_expired", False)),
        reason=arguments.reason.strip()[:500],
        until=_until(arguments.until),
    )
    if arguments.json:
        show.print_json({"id": entry, "action": arguments.verb, "by": by, "digest": digest.hex()})
    else:
        done = "allowed" if arguments.verb == "allow" else "denied"
        print(f"{show.safe(certificate.subject)} is {done}{' by its key' if arguments.key else ''}; entry {entry}.")
    return 0


def _in_file(what: str) -> Certificate | None:
    """The one certificate of a file; None when it names no file. Raises UsageError, CertificateError."""
    if what != "-" and not Path(what).is_file():
        return None
    return _one(what, certificate_import.read_file(what).certificates)


async def _named(what: str, door: Door) -> Certificate:
    """The one certificate of the store that is named so. Raises UsageError, NoCertificate."""
    return _one(what, [parse(bytes(row.der)) for row in await certificates.which(door, what)])


def _one(what: str, found: Sequence[Certificate]) -> Certificate:
    if len(found) != 1:
        raise UsageError(f"{what!r} stands for {len(found)} certificates; name one.")
    return found[0]


def _until(text: str | None) -> datetime | None:
    """An end in the future; a day ends with it, in UTC. Raises UsageError."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date; write 2027-12-31.") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if len(text) == 10:
        at += timedelta(days=1)
    if at <= datetime.now(UTC):
        raise UsageError(f"{text} is over.")
    return at


async def _add(arguments: argparse.Namespace, door: Door) -> int:
    found = certificate_import.read_file(arguments.file)
    if found.unreadable:
        raise PermanentError(f"{found.unreadable} certificates in the file cannot be read; nothing was changed.")
    _require_authorities(found.certificates)
    organisation = await certificate_import.organisation_named(door, "default")
    rows: list[dict[str, Any]] = []
    for each in found.certificates:
        row = await certificate_import.store(door, each, None, organisation)
        answer = await calls.add_anchor(door.gate, token=door.token, id=row["id"])
        if answer not in ("done", "already"):
            raise PermanentError(f"{each.subject} was not trusted: {answer}.")
        row["answer"] = "trusted" if answer == "done" else "already trusted"
        rows.append(row)
    if arguments.json:
        show.print_json(rows)
    else:
        show.print_table(("ID", "ANSWER", "SUBJECT"), [(row["id"], row["answer"], row["subject"]) for row in rows])
    return 0


def _require_authorities(found: Sequence[Certificate]) -> None:
    for each in found:
        # Roots of version 1 have no basicConstraints (RFC 5280 4.1.2.1); OpenSSL takes them too.
        old_root = each.parsed.version.name == "v1" and each.is_self_issued
        if not (each.is_authority or old_root):
            raise NotAnAuthority(
                f"{each.subject} is no authority's certificate; nothing was changed. "
                "Use 'letterlock certificate import' for it."
            )


async def _list(arguments: argparse.Namespace, door: Door) -> int:
    rows = await calls.explain_authorities(door.gate, token=door.token)
    anchors = [parse(bytes(row.der)) for row in rows if row.is_anchor]
    entries = await calls.explain_ctl_entries(door.gate, token=door.token)
    if arguments.json:
        show.print_json([*map(_anchor_row, anchors), *map(_entry_row, entries)])
        return 0
    show.print_table(
        ("THUMBPRINT", "VALID UNTIL", "SUBJECT"),
        [(each.thumbprint.hex(), each.not_after, each.subject) for each in anchors],
        empty="Nothing is trusted; 'letterlock trust add FILE' trusts an authority.",
    )
    if entries:
        print()
        show.print_table(
            ("ENTRY", "ACTION", "BY", "DIGEST", "UNTIL", "ALLOW EXPIRED", "REASON", "AUTHOR"),
            [
                (x.id, x.action, x.by, bytes(x.digest).hex(), x.until, x.allow_expired, x.reason, x.author)
                for x in entries
            ],
        )
    return 0


def _anchor_row(each: Certificate) -> dict[str, Any]:
    return {
        "kind": "anchor",
        "thumbprint": each.thumbprint.hex(),
        "subject": each.subject,
        "not_before": each.not_before,
        "not_after": each.not_after,
    }


def _entry_row(each: calls.StoredCtlEntry) -> dict[str, Any]:
    ended = each.until is not None and each.until <= datetime.now(UTC)
    return {"kind": "entry", **each._asdict(), "digest": bytes(each.digest).hex(), "ended": ended}


async def _remove(arguments: argparse.Namespace, door: Door) -> int:
    if "@" in arguments.which:
        raise UsageError("Name the anchor by its id or thumbprint; 'letterlock trust list' shows them.")
    if (entry := _entry_id(arguments.which)) is not None:
        answer = await calls.remove_ctl_entry(door.gate, token=door.token, id=entry)
        if answer == "done":
            if arguments.json:
                show.print_json({"id": entry, "answer": answer})
            else:
                print("The entry is removed.")
            return 0
    found, *more = await certificates.which(door, arguments.which)
    if more:
        raise UsageError(f"{arguments.which!r} does not name one certificate; give its id.")
    answer = await calls.remove_anchor(door.gate, token=door.token, id=found.id)
    if arguments.json:
        show.print_json({"id": found.id, "answer": answer})
    elif answer == "done":
        print(f"{show.safe(found.subject)} is trusted no more.")
    else:
        print(f"{show.safe(found.subject)} was not trusted.")
    return 0 if answer == "done" else 1


def _entry_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
