"""``letterlock trust``: the certificates of authorities that paths may end in.

Guarantees
    ``add`` takes all certificates of a file or none: every one must be an authority's, so that a bundle with a person's
    certificate in it does not make that person an authority. Adding and removing are audited.
    Exit code 1 when there is no such anchor, or a certificate is no authority's.

See also
    ``pki/path.py`` for what an anchor means; ``cli/certificate.py`` for import without trust.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from letterlock.cli import certificate as certificates
from letterlock.cli import show
from letterlock.cli.connect import Door
from letterlock.errors import PermanentError, UsageError
from letterlock.pki import calls
from letterlock.pki.certificate import Certificate, parse


class NotAnAuthority(PermanentError):
    """The certificate is no authority's."""


def add_parser(subparsers: Any) -> None:
    """``trust add``, ``list``, ``remove``."""
    parser = subparsers.add_parser("trust", help="trusted root certificates")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    adding = verbs.add_parser("add", help="trust the authorities' certificates of a PEM, DER or P7B file")
    adding.add_argument("file", metavar="FILE", help="- for standard input")
    show.add_json(adding)
    show.add_json(verbs.add_parser("list", help="the anchors"))
    removing = verbs.add_parser("remove", help="trust a certificate no more; it stays in the store")
    removing.add_argument("which", metavar="WHICH", help="id or SHA-256 thumbprint")
    show.add_json(removing)


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    return await {"add": _add, "list": _list, "remove": _remove}[arguments.verb](arguments, door)


async def _add(arguments: argparse.Namespace, door: Door) -> int:
    found = certificates.read_file(arguments.file)
    if found.unreadable:
        raise PermanentError(f"{found.unreadable} certificates in the file cannot be read; nothing was changed.")
    _require_authorities(found.certificates)
    organisation = await certificates.organisation_named(door, "default")
    rows: list[dict[str, Any]] = []
    for each in found.certificates:
        row = await certificates.store(door, each, None, organisation)
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
    if arguments.json:
        show.print_json(
            [
                {
                    "thumbprint": each.thumbprint.hex(),
                    "subject": each.subject,
                    "not_before": each.not_before,
                    "not_after": each.not_after,
                }
                for each in anchors
            ]
        )
        return 0
    show.print_table(
        ("THUMBPRINT", "VALID UNTIL", "SUBJECT"),
        [(each.thumbprint.hex(), each.not_after, each.subject) for each in anchors],
        empty="Nothing is trusted; 'letterlock trust add FILE' trusts an authority.",
    )
    return 0


async def _remove(arguments: argparse.Namespace, door: Door) -> int:
    if "@" in arguments.which:
        raise UsageError("Name the anchor by its id or thumbprint; 'letterlock trust list' shows them.")
    (found,) = await certificates.which(door, arguments.which)
    answer = await calls.remove_anchor(door.gate, token=door.token, id=found.id)
    if arguments.json:
        show.print_json({"id": found.id, "answer": answer})
    elif answer == "done":
        print(f"{show.safe(found.subject)} is trusted no more.")
    else:
        print(f"{show.safe(found.subject)} was not trusted.")
    return 0 if answer == "done" else 1
