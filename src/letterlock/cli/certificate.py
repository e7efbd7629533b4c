"""``letterlock certificate``: certificates and private keys in and out, and why one is used or not.

Guarantees
    An import never trusts, whatever the file holds; ``trust add`` does. The same file again changes nothing and says
    "already there". A private key goes straight to the keyholder; it is never printed; how one gets out again is in
    certificate_export.py.
    Exit code 1 when there is no such certificate, or a part of a file could not be used.

See also
    ``pki/bundle.py`` (file formats), ``pki/select.py`` (the rules).
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from letterlock.cli import certificate_export, certificate_import, certificate_why, show
from letterlock.cli.connect import Door
from letterlock.errors import PermanentError, UsageError
from letterlock.pki import calls
from letterlock.pki.certificate import Certificate, match_form, parse
from letterlock.pki.ctl import Ctl
from letterlock.pki.reasons import Reason
from letterlock.pki.trust import Trust

MOST_OF_A_DOMAIN = 100_000
_THUMBPRINT = re.compile("[0-9a-f]{8,64}")


class NoCertificate(PermanentError):
    """There is no such certificate; 'letterlock certificate list' shows those there are."""


def add_parser(subparsers: Any) -> None:
    """``certificate import``, ``list``, ``show``, ``export``, ``why``."""
    parser = subparsers.add_parser("certificate", help="certificates and keys")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    taking = verbs.add_parser("import", help="take certificates and keys from PEM, DER, P7B or PKCS#12 files")
    certificate_import.add_arguments(taking)
    listing = verbs.add_parser("list", help="the certificates, newest import first")
    listing.add_argument("address", nargs="?", help="of this address only")
    listing.add_argument("--expires-within", type=_days, metavar="30d", help="valid now, and no more after these days")
    listing.add_argument("--waiting", action="store_true", help="harvested ones that wait for 'certificate approve'")
    listing.add_argument("--max", type=int, default=1000, help="at most so many rows (1000)")
    show.add_json(listing)
    one = verbs.add_parser("show", help="one certificate and what it is good for")
    out = verbs.add_parser("export", help="certificates as PEM, DER or P7B; with --private one key, locked")
    for each in (one, out):
        each.add_argument(
            "which",
            metavar="WHICH",
            help="id, thumbprint (SHA-1 or SHA-256, or its first 8 digits or more), or address; export: or @domain",
        )
    show.add_json(one)
    certificate_export.add_arguments(out)
    why = verbs.add_parser("why", help="which certificates an address encrypts to and signs with; why not the others")
    why.add_argument("address")
    which_way = why.add_mutually_exclusive_group()
    which_way.add_argument("--sign", action="store_const", const=True, help="to sign only")
    which_way.add_argument("--encrypt", dest="sign", action="store_const", const=False, help="to encrypt only")
    show.add_json(why)
    _add_changes(verbs)


def _add_changes(verbs: Any) -> None:
    """``certificate tie``, ``untie``, ``approve``, ``delete``."""
    for name, line in (
        ("tie", "use a certificate for a user, domain or *.domain; for a user's own one: sign with it"),
        ("untie", "take that back"),
        ("approve", "use a harvested certificate that waits"),
        ("delete", "forget a certificate that nothing needs"),
    ):
        verb = verbs.add_parser(name, help=line)
        verb.add_argument("which", metavar="WHICH", help="id or thumbprint")
        if name in ("tie", "untie"):
            verb.add_argument("scope", metavar="SCOPE", help="alice@example.org, example.org or *.example.org")
        show.add_json(verb)
    verb.add_argument("--force", action="store_true", help="although it is in use; needs --reason")
    verb.add_argument("--reason", help="why; audited")


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    if arguments.verb == "why":
        return await certificate_why.run(_address(arguments.address), arguments, door, await _trust(door))
    verbs = {"import": certificate_import.run, "list": _list, "show": _show, "export": _export}
    return await verbs.get(arguments.verb, _change)(arguments, door)


def _summary(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "thumbprint": bytes(row.fingerprint).hex(),
        "subject": row.subject,
        "issuer": row.issuer,
        "addresses": list(row.addresses),
        "not_before": row.not_before,
        "not_after": row.not_after,
        "authority": row.is_ca,
        "anchor": row.is_anchor,
        "key": row.key_id is not None,
        "imported_by": row.imported_by,
        "imported_at": row.imported_at,
    }


async def _list(arguments: argparse.Namespace, door: Door) -> int:
    address = _address(arguments.address) if arguments.address else None
    found: Sequence[Any]
    if arguments.expires_within is not None:
        before = datetime.now(UTC) + arguments.expires_within
        ids = await calls.expiring(door.gate, token=door.token, before=before, max=arguments.max)
        found = [each for each in await _shown(door, ids) if address is None or address in each.addresses]
    elif arguments.waiting:
        waits = await calls.waiting(door.gate, token=door.token, address=address, max=arguments.max)
        found = await _shown(door, dict.fromkeys(each.id for each in waits))
    else:
        found = await calls.list(door.gate, token=door.token, address=address, max=arguments.max)
    rows = [_summary(row) for row in found]
    if arguments.json:
        show.print_json(rows)
        return 0
    show.print_table(
        ("ID", "ADDRESSES", "SUBJECT", "VALID UNTIL", "KEY", "AUTHORITY", "ANCHOR", "THUMBPRINT"),
        [
            (
                row["id"],
                row["addresses"],
                row["subject"],
                row["not_after"],
                row["key"],
                row["authority"],
                row["anchor"],
                row["thumbprint"][:16],
            )
            for row in rows
        ],
        empty="No certificates.",
    )
    return 0


def _address(text: str) -> str:
    form = match_form(text)
    if not form:
        raise UsageError(f"{text!r} is not a mail address.")
    return form


def _days(text: str) -> timedelta:
    days = text.removesuffix("d")
    if not (days.isascii() and days.isdigit() and len(days) <= 5):
        raise argparse.ArgumentTypeError("a number of days, as in 30d")
    return timedelta(days=int(days))


async def _shown(door: Door, ids: Iterable[UUID]) -> list[calls.ShownCertificate]:
    rows = [await calls.show(door.gate, token=door.token, id=each, fingerprint=None) for each in ids]
    return [row for row in rows if row is not None]


async def which(door: Door, text: str) -> Sequence[calls.ShownCertificate]:
    """Certificates by id, thumbprint, its beginning, or address, at least one. Raises UsageError, NoCertificate."""
    if "@" in text:
        listed = await calls.list(door.gate, token=door.token, address=_address(text), max=1000)
        found = await _shown(door, [each.id for each in listed])
    else:
        digits = "".join(each for each in text if each not in " :.-\t\n").lower()
        if not _THUMBPRINT.fullmatch(digits):
            raise UsageError(f"{text!r} is neither an id, nor 8 or more digits of a thumbprint, nor an address.")
        octets = bytes.fromhex(digits[: len(digits) & ~1])
        ids = [UUID(bytes=octets)] if len(octets) == 16 else []
        ids += await calls.find(door.gate, token=door.token, prefix=octets, max=100)
        found = [each for each in await _shown(door, dict.fromkeys(ids)) if _begins(each, digits)]
    if not found:
        raise NoCertificate
    return found


def _begins(row: calls.ShownCertificate, digits: str) -> bool:
    """The last digit too, when there was half an octet."""
    sha1 = hashlib.sha1(bytes(row.der), usedforsecurity=False).hexdigest()
    return any(each.startswith(digits) for each in (bytes(row.fingerprint).hex(), sha1, row.id.hex))


async def _trust(door: Door) -> Trust:
    rows = await calls.explain_authorities(door.gate, token=door.token)
    listed = Ctl.of_rows(await calls.explain_ctl_entries(door.gate, token=door.token))
    return Trust.of_rows(((row.der, row.is_anchor) for row in rows), 0, listed)


async def _show(arguments: argparse.Namespace, door: Door) -> int:
    found = await which(door, arguments.which)
    trust = await certificate_why.informed(door, await _trust(door), (parse(bytes(row.der)) for row in found))
    told = [_facts(row, trust) for row in found]
    if arguments.json:
        show.print_json(told)
        return 0
    for number, facts in enumerate(told):
        if number:
            print()
        show.print_facts(facts)
    return 0


def _facts(row: calls.ShownCertificate, trust: Trust) -> dict[str, Any]:
    certificate = parse(bytes(row.der))
    now = datetime.now(UTC)
    facts = _summary(row)
    facts["serial"] = f"{certificate.serial:x}"
    facts["public_key"] = f"{certificate.key_kind} {certificate.curve or certificate.key_bits or ''}".strip()
    facts["signed_with"] = certificate.digest
    facts["key_usage"] = sorted(certificate.key_usage) if certificate.key_usage is not None else None
    facts["purposes"] = sorted(certificate.purposes) if certificate.purposes is not None else None
    for purpose in ("sign", "encrypt"):
        verdict = trust.verdict(certificate, now, purpose, (), "soft")
        facts[f"good_to_{purpose}"] = verdict.ok
        if not verdict.ok:
            facts[f"why_not_{purpose}"] = list(map(str, verdict.reasons))
        if verdict.unsure or Reason.REVOKED in verdict.reasons:
            facts["revocation"] = verdict.unsure or verdict.detail
    facts["path"] = [each.subject for each in trust.verdict(certificate, now, "any").path]
    return facts


async def _export(arguments: argparse.Namespace, door: Door) -> int:
    found = await (_of_domain if arguments.which.startswith("@") else which)(door, arguments.which)
    above: Sequence[Certificate] = ()
    if arguments.private:
        verdict = (await _trust(door)).verdict(parse(bytes(found[0].der)), datetime.now(UTC), "any")
        above = verdict.path[1:]
    return await certificate_export.run(arguments, door, found, above)


async def _of_domain(door: Door, text: str) -> Sequence[calls.ShownCertificate]:
    """All certificates for an address of @domain. Raises UsageError, NoCertificate."""
    form = match_form(f"x{text}")
    if not form:
        raise UsageError(f"{text!r} is not @ and a domain.")
    listed = await calls.list(door.gate, token=door.token, address=None, max=MOST_OF_A_DOMAIN)
    ending = form[1:]
    found = [row.id for row in listed if any(each.endswith(ending) for each in row.addresses)]
    if not found:
        raise NoCertificate
    return await _shown(door, found)


async def _change(arguments: argparse.Namespace, door: Door) -> int:
    """tie, untie, approve, delete: one certificate, and what was answered."""
    found = await which(door, arguments.which)
    if len(found) > 1 or "@" in arguments.which:
        raise UsageError(f"{arguments.which!r} does not name one certificate; give its id.")
    row = found[0]
    if arguments.verb == "approve":
        stored = await certificate_import.store(door, parse(bytes(row.der)), None, row.organisation)
        answer = "done" if stored["answer"] == "imported" else "already"
    elif arguments.verb == "delete":
        if arguments.force and not arguments.reason:
            raise UsageError("--force needs --reason.")
        answer = await calls.delete(
            door.gate, token=door.token, id=row.id, force=arguments.force, reason=arguments.reason
        )
    else:
        call = calls.tie if arguments.verb == "tie" else calls.untie
        answer = await call(door.gate, token=door.token, id=row.id, scope=_scope(arguments.scope))
    if arguments.json:
        show.print_json({"id": row.id, "answer": answer})
    else:
        print(f"{show.safe(row.subject)}: {_ANSWERS.get(answer, answer)}")
    return 0 if answer in ("done", "already") else 1


_ANSWERS = {
    "not-found": "there is no such tie.",
    "anchor": "it is a trust anchor; 'letterlock trust remove' first, or --force --reason.",
    "tied": "it is tied to a user or domain; 'letterlock certificate untie' first, or --force --reason.",
    "only-key": "it is the last certificate of a private key, and old mail needs it; --force --reason deletes it.",
    "in-setting": "smime_additional_certificates names its address; change that first, or --force --reason.",
}


def _scope(text: str) -> str:
    """A scope in match form. Raises UsageError."""
    wild = "*." if text.startswith("*.") else ""
    form = match_form(text if "@" in text else f"x@{text[len(wild) :]}")
    if not form:
        raise UsageError(f"{text!r} is neither an address, nor a domain, nor *.domain.")
    return form if "@" in text else wild + form.rpartition("@")[2]
