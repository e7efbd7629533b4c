"""``letterlock certificate``: certificates and private keys in and out, and why one is used or not.

Guarantees
    An import never trusts, whatever the file holds; ``trust add`` does. The same file again changes nothing and says
    "already there". A private key goes straight to the keyholder; it is never printed, and ``export`` has none.
    Exit code 1 when there is no such certificate, or a part of a file could not be used.

See also
    ``pki/bundle.py`` (file formats), ``pki/select.py`` (the rules).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from letterlock.cli import show
from letterlock.cli.connect import Door
from letterlock.errors import PermanentError, UsageError
from letterlock.pki import bundle, calls
from letterlock.pki.certificate import Certificate, match_form, parse
from letterlock.pki.errors import WrongPassword
from letterlock.pki.reasons import SENTENCES
from letterlock.pki.select import Candidate, Selection, candidate, encryption_certificates, signing_certificate
from letterlock.pki.trust import Trust
from letterlock.policy import calls as policy
from letterlock.vault.errors import KeyRefused
from letterlock.vault.keys import new_id


class NoCertificate(PermanentError):
    """There is no such certificate; 'letterlock certificate list' shows those there are."""


def add_parser(subparsers: Any) -> None:
    """``certificate import``, ``list``, ``show``, ``export``, ``why``."""
    parser = subparsers.add_parser("certificate", help="certificates and keys")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    taking = verbs.add_parser("import", help="take certificates and keys from a PEM, DER, P7B or PKCS#12 file")
    taking.add_argument("file", metavar="FILE", help="- for standard input")
    secret = taking.add_mutually_exclusive_group()
    secret.add_argument("--password", help="of the file; others on this machine can see it: better --password-file")
    secret.add_argument("--password-file", type=Path, metavar="FILE", help="its first line is the password")
    taking.add_argument("--organisation", default="default", help="whose they are (default)")
    show.add_json(taking)
    listing = verbs.add_parser("list", help="the certificates, newest import first")
    listing.add_argument("address", nargs="?", help="of this address only")
    listing.add_argument("--max", type=int, default=1000, help="at most so many rows (1000)")
    show.add_json(listing)
    one = verbs.add_parser("show", help="one certificate and what it is good for")
    out = verbs.add_parser("export", help="certificates as PEM, DER or P7B; never a private key")
    for each in (one, out):
        each.add_argument("which", metavar="WHICH", help="id, SHA-256 thumbprint, or address")
    show.add_json(one)
    out.add_argument("--format", choices=("pem", "der", "p7b"), default="pem")
    out.add_argument("--out", type=Path, metavar="FILE", help="write there instead of standard output")
    why = verbs.add_parser("why", help="which certificates an address encrypts to and signs with; why not the others")
    why.add_argument("address")
    show.add_json(why)


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    verbs = {"import": _import, "list": _list, "show": _show, "export": _export, "why": _why}
    return await verbs[arguments.verb](arguments, door)


def read_file(name: str, password: str | None = None) -> bundle.Bundle:
    """What is in a file, - for standard input. Raises UsageError when it cannot be read, CertificateError."""
    try:
        octets = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {name}: {error.strerror}.") from error
    try:
        return bundle.read(octets, password)
    except WrongPassword as error:
        raise WrongPassword(f"{error.public} Give it with --password-file.", detail=error.detail) from error


async def store(
    door: Door, certificate: Certificate, key: bundle.BundledKey | None, organisation: UUID
) -> dict[str, Any]:
    """Keep one certificate, and its private key first; what became of it. Raises PermanentError, SystemFailure."""
    key_id = None
    if key is not None:
        try:
            key_id = await door.keyholder.import_key(door.token, organisation, key.pkcs8.octets)
        except KeyRefused as error:
            raise PermanentError(error.public) from error
    kept = await calls.import_certificate(
        door.gate,
        token=door.token,
        id=new_id(),
        organisation=organisation,
        der=certificate.der,
        fingerprint=certificate.thumbprint,
        subject=certificate.subject,
        issuer=certificate.issuer,
        serial=certificate.issuer_serial,
        ski=certificate.key_identifier,
        spki=key.spki if key else certificate.spki,
        addresses=certificate.addresses,
        is_ca=certificate.is_authority,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        key_id=key_id,
    )
    if kept.answer not in ("done", "already"):
        raise PermanentError(f"The certificate of {certificate.subject} was refused: {kept.answer}.")
    return {
        "id": kept.id,
        "answer": "imported" if kept.answer == "done" else "already there",
        "thumbprint": certificate.thumbprint.hex(),
        "subject": certificate.subject,
        "addresses": list(certificate.addresses),
        "key": key is not None,
    }


async def organisation_named(door: Door, name: str) -> UUID:
    """The id of an organisation. Raises PermanentError when there is none of this name."""
    for each in await policy.organisations(door.gate, token=door.token):
        if each.name == name:
            return each.id
    raise PermanentError(f"There is no organisation {name!r}.")


async def _import(arguments: argparse.Namespace, door: Door) -> int:
    password = arguments.password
    if arguments.password_file is not None:
        try:
            lines = arguments.password_file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"Cannot read {arguments.password_file} as text.") from error
        password = lines[0] if lines else ""
    found = read_file(arguments.file, password)
    organisation = await organisation_named(door, arguments.organisation)
    rows = [await store(door, each, found.key_of(each), organisation) for each in found.certificates]
    if arguments.json:
        show.print_json({"certificates": rows, "unreadable": found.unreadable})
    else:
        show.print_table(
            ("ID", "ANSWER", "KEY", "ADDRESSES", "SUBJECT"),
            [(row["id"], row["answer"], row["key"], row["addresses"], row["subject"]) for row in rows],
        )
    if found.unreadable:
        print(f"letterlock: {found.unreadable} certificates in the file cannot be read.", file=sys.stderr)
        return 1
    return 0


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


async def which(door: Door, text: str) -> Sequence[calls.ShownCertificate]:
    """Certificates by id, thumbprint or address, at least one. Raises UsageError, NoCertificate."""
    if "@" in text:
        listed = await calls.list(door.gate, token=door.token, address=_address(text), max=1000)
        rows = [await calls.show(door.gate, token=door.token, id=each.id, fingerprint=None) for each in listed]
    else:
        plain = text.replace(":", "").replace("-", "").lower()
        try:
            octets = bytes.fromhex(plain)
        except ValueError:
            octets = b""
        if len(octets) == 32:
            rows = [await calls.show(door.gate, token=door.token, id=None, fingerprint=octets)]
        elif len(octets) == 16:
            rows = [await calls.show(door.gate, token=door.token, id=UUID(bytes=octets), fingerprint=None)]
        else:
            raise UsageError(f"{text!r} is neither an id, nor a SHA-256 thumbprint, nor an address.")
    found = [row for row in rows if row is not None]
    if not found:
        raise NoCertificate
    return found


async def _trust(door: Door) -> Trust:
    rows = await calls.explain_authorities(door.gate, token=door.token)
    return Trust.of_rows((row.der, row.is_anchor) for row in rows)


async def _show(arguments: argparse.Namespace, door: Door) -> int:
    found = await which(door, arguments.which)
    trust = await _trust(door)
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
        verdict = trust.verdict(certificate, now, purpose)
        facts[f"good_to_{purpose}"] = verdict.ok
        if not verdict.ok:
            facts[f"why_not_{purpose}"] = list(map(str, verdict.reasons))
    facts["path"] = [each.subject for each in trust.verdict(certificate, now, "any").path]
    return facts


async def _export(arguments: argparse.Namespace, door: Door) -> int:
    certificates = [parse(bytes(row.der)) for row in await which(door, arguments.which)]
    if arguments.format == "der":
        if len(certificates) > 1:
            raise UsageError("A DER file holds one certificate; name one by its id, or choose pem or p7b.")
        octets = certificates[0].der
    elif arguments.format == "p7b":
        octets = bundle.to_p7b(certificates)
    else:
        octets = bundle.to_pem(certificates)
    if arguments.out:
        arguments.out.write_bytes(octets)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(octets)
    return 0


async def _why(arguments: argparse.Namespace, door: Door) -> int:
    address = _address(arguments.address)
    rows = await calls.explain_candidates(door.gate, token=door.token, addresses=[address])
    candidates = [made for row in rows if (made := candidate(row.id, row.der, row.key_id)) is not None]
    trust = await _trust(door)
    now = datetime.now(UTC)
    selections = {
        "encrypt": encryption_certificates(address, candidates, trust, now),
        "sign": signing_certificate(address, candidates, trust, now),
    }
    if arguments.json:
        show.print_json({"address": address, **{name: _told(each) for name, each in selections.items()}})
        return 0
    for name, selection in selections.items():
        show.print_table(
            (f"TO {name.upper()}", "USED", "WHY NOT", "SUBJECT", "DETAIL"),
            list(_lines(selection)),
            empty=f"No certificate to {name} for {address}; import one.",
        )
        for reason in dict.fromkeys(reason for each in selection.rejected for reason in each.reasons):
            print(f"  {reason}: {SENTENCES[reason]}")
        print()
    return 0


def _told(selection: Selection) -> dict[str, Any]:
    return {
        "chosen": [_named(each) for each in selection.chosen],
        "rejected": [
            {
                **_named(each.candidate),
                "reasons": list(map(str, each.reasons)),
                "sentences": [SENTENCES[reason] for reason in each.reasons],
                "detail": each.detail,
                "paths": [
                    {
                        "path": [one.subject for one in tried.path],
                        "reasons": list(map(str, tried.reasons)),
                        "detail": tried.detail,
                    }
                    for tried in each.paths
                ],
            }
            for each in selection.rejected
        ],
    }


def _named(each: Candidate) -> dict[str, Any]:
    certificate = each.certificate
    return {
        "id": each.id,
        "thumbprint": certificate.thumbprint.hex(),
        "subject": certificate.subject,
        "not_after": certificate.not_after,
    }


def _lines(selection: Selection) -> Iterable[Sequence[object]]:
    for each in selection.chosen:
        yield each.id, True, "", each.certificate.subject, ""
    for other in selection.rejected:
        yield (
            other.candidate.id,
            False,
            list(map(str, other.reasons)),
            other.candidate.certificate.subject,
            other.detail,
        )
