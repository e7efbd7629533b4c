"""``letterlock domain``: the domains this gateway knows, which of them are internal, and whose they are.

Guarantees
    An internal domain is one we take mail for from anybody; its addresses are internal unless a setting says otherwise.
    What is internal becomes external only when --external says so.
    Exit code 1 when the database says no: not found.

See also
    ``policy/domains.py``; ``letterlock setting set --domain`` for a domain's settings.
"""

from __future__ import annotations

import argparse
from typing import Any
from uuid import UUID

from letterlock.cli import show
from letterlock.cli.connect import Door
from letterlock.errors import PermanentError, UsageError
from letterlock.policy import calls
from letterlock.policy.settings.texts import domain_name


class NoSuchOrganisation(PermanentError):
    """There is no such organisation."""


def add_parser(subparsers: Any) -> None:
    """``domain add``, ``list``, ``remove``."""
    parser = subparsers.add_parser("domain", help="the domains this gateway serves")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    adding = verbs.add_parser("add", help="make a domain known, or change what is known of it")
    adding.add_argument("name", metavar="NAME")
    where = adding.add_mutually_exclusive_group()
    where.add_argument("--internal", action="store_true", help="take mail for it from anybody, and deliver it inside")
    where.add_argument("--external", action="store_true", help="not ours (as without either, for a new domain)")
    adding.add_argument("--organisation", metavar="O", help="whose it is, by name or id (the default organisation)")
    show.add_json(adding)
    show.add_json(verbs.add_parser("list", help="the domains we know"))
    removing = verbs.add_parser("remove", help="forget a domain; its settings stay, for it may come back")
    removing.add_argument("name", metavar="NAME")
    show.add_json(removing)


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    return await {"add": _add, "list": _list, "remove": _remove}[arguments.verb](arguments, door)


def _name(text: str) -> str:
    """The domain in A-label form. Raises UsageError."""
    try:
        return domain_name(text)
    except ValueError:
        raise UsageError(f"{show.safe(text)} is not a valid domain.") from None


async def _organisation(door: Door, wanted: str | None) -> UUID | None:
    """The id of an organisation given by name or id; None: the default one. Raises NoSuchOrganisation."""
    if wanted is None:
        return None
    for each in await calls.organisations(door.gate, token=door.token):
        if wanted in (each.name, str(each.id)):
            return each.id
    raise NoSuchOrganisation(f"There is no organisation {show.safe(wanted)}.")


async def _add(arguments: argparse.Namespace, door: Door) -> int:
    name = _name(arguments.name)
    if not (arguments.internal or arguments.external):
        await _refuse_internal(name, door)
    organisation = await _organisation(door, arguments.organisation)
    answer = await calls.add_domain(
        door.gate, token=door.token, name=name, internal=arguments.internal, organisation=organisation
    )
    if arguments.json:
        show.print_json({"name": name, "internal": arguments.internal, "answer": answer})
    elif answer == "not-found":
        print("There is no such organisation.")
    else:
        kind = "internal" if arguments.internal else "external"
        print(f"{name} is {'already ' if answer == 'already' else ''}known as {kind}.")
    return 1 if answer == "not-found" else 0


async def _refuse_internal(name: str, door: Door) -> None:
    """A word left out makes nobody's mail external. Raises UsageError."""
    for row in await calls.domains_list(door.gate, token=door.token):
        if row.name == name and row.internal:
            raise UsageError(f"{name} is internal; say --internal to leave it so, or --external to change that.")


async def _list(arguments: argparse.Namespace, door: Door) -> int:
    rows = await calls.domains_list(door.gate, token=door.token)
    if arguments.json:
        show.print_json([row._asdict() for row in rows])
        return 0
    show.print_table(
        ("NAME", "LOCALITY", "ORGANISATION", "ADDED BY", "ADDED"),
        [
            (row.name, "internal" if row.internal else "external", row.organisation_name, row.added_by, row.added_at)
            for row in rows
        ],
        empty="No domain is known; 'letterlock domain add NAME --internal' adds one of yours.",
    )
    return 0


async def _remove(arguments: argparse.Namespace, door: Door) -> int:
    name = _name(arguments.name)
    answer = await calls.remove_domain(door.gate, token=door.token, name=name)
    if arguments.json:
        show.print_json({"name": name, "answer": answer})
    else:
        print(f"{name} is forgotten." if answer == "done" else f"{name} was not known.")
    return 0 if answer == "done" else 1
