"""``letterlock certificate import``: certificates and keys from many files or a folder, one answer per item.

Guarantees
    One bad item stops no other; each gets its line: "imported" ("new" in a dry run), "already there", or "refused" with
    the reason. A dry run reads everything, asks for passwords as a real one would, and changes nothing.
    An import never trusts. A private key goes straight to the keyholder.
    Exit code 1 when an item was refused.

See also
    ``pki/bundle.py`` (file formats).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from letterlock.cli import named_file, show, token_key
from letterlock.cli.connect import Door
from letterlock.errors import PermanentError, UsageError
from letterlock.pki import bundle, calls
from letterlock.pki.certificate import Certificate
from letterlock.pki.errors import WrongPassword
from letterlock.policy import calls as policy
from letterlock.vault.errors import KeyRefused
from letterlock.vault.keys import new_id

ENDINGS = frozenset({".pem", ".der", ".cer", ".crt", ".p7b", ".p7c", ".p7m", ".p12", ".pfx", ".key"})
"""Of the files that are taken from a folder; what is named singly is taken whatever its name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Files, password, organisation, --dry-run, --json."""
    parser.add_argument("file", metavar="FILE", nargs="+", help="a file or folder; - for standard input")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--password", help="of the files; others on this machine can see it: better --password-file")
    secret.add_argument("--password-file", type=Path, metavar="FILE", help="its first line is the password")
    parser.add_argument("--organisation", default="default", help="whose they are (default)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument(
        "--token-key", metavar="KEY", help="its private key is on the PKCS #11 token: URI, id, or label:LABEL"
    )
    show.add_json(parser)


def read_file(name: str, password: str | None = None) -> bundle.Bundle:
    """What is in a file, - for standard input. Raises UsageError when it cannot be read, PermanentError."""
    most = bundle.MAX_OCTETS
    octets = sys.stdin.buffer.read(most + 1) if name == "-" else named_file.read(name, most)
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
    kept = await keep(door, certificate, organisation, key_id, key.spki if key else certificate.spki)
    return _row(certificate, key, kept.id, "imported" if kept.answer == "done" else "already there")


async def keep(
    door: Door, certificate: Certificate, organisation: UUID | None, key_id: UUID | None, spki: bytes
) -> calls.Imported:
    """Keep a certificate whose private key, if it has one, is kept already. Raises PermanentError when it is refused."""
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
        spki=spki,
        addresses=certificate.addresses,
        is_ca=certificate.is_authority,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        key_id=key_id,
    )
    if kept.answer not in ("done", "already"):
        raise PermanentError(f"The certificate of {certificate.subject} was refused: {kept.answer}.")
    return kept


def _row(certificate: Certificate, key: bundle.BundledKey | None, id_: UUID | None, answer: str) -> dict[str, Any]:
    return {
        "id": id_,
        "answer": answer,
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


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Take every file; print an answer per item."""
    password = _password(arguments)
    names = [each for name in arguments.file for each in _files(name)]
    if not names:
        raise UsageError("There is no certificate file in the folder.")
    organisation = await organisation_named(door, arguments.organisation)
    alone = len(names) == 1
    rows: list[dict[str, Any]] = []
    unreadable = 0
    for name in names:
        try:
            found = read_file(name, password)
        except PermanentError as error:
            if alone:
                raise
            rows.append(_refused(name, error))
            continue
        unreadable += found.unreadable
        rows += [
            {"file": name, **await _take(door, each, found.key_of(each), organisation, arguments)}
            for each in found.certificates
        ]
    refused = [row for row in rows if row["answer"] == "refused"]
    if alone and len(refused) == len(rows) == 1:
        raise PermanentError(refused[0]["reason"])
    _print(rows, unreadable, as_json=arguments.json)
    return 1 if unreadable or refused else 0


def _password(arguments: argparse.Namespace) -> str | None:
    if arguments.password_file is None:
        return str(arguments.password) if arguments.password is not None else None
    try:
        lines = arguments.password_file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read {arguments.password_file} as text.") from error
    return lines[0] if lines else ""


def _files(name: str) -> Iterator[str]:
    """The file itself, or the certificate files in a folder and the folders in it, by name."""
    if name == "-" or not Path(name).is_dir():
        yield name
        return
    for each in sorted(Path(name).rglob("*")):
        if each.suffix.lower() in ENDINGS and each.is_file():
            yield str(each)


async def _take(
    door: Door, certificate: Certificate, key: bundle.BundledKey | None, organisation: UUID, asked: argparse.Namespace
) -> dict[str, Any]:
    """One certificate's answer."""
    try:
        if asked.token_key and not asked.dry_run and not certificate.is_authority:
            key_id = await token_key.adopt(door, certificate, organisation, asked.token_key)
            kept = await keep(door, certificate, organisation, key_id, certificate.spki)
            answer = "imported" if kept.answer == "done" else "already there"
            return {**_row(certificate, key, kept.id, answer), "key": True, "reason": ""}
        if not asked.dry_run:
            return {**await store(door, certificate, key, organisation), "reason": ""}
        known = await calls.show(door.gate, token=door.token, id=None, fingerprint=certificate.thumbprint)
        is_new = known is None or (key is not None and known.key_id is None)
        return {
            **_row(certificate, key, known.id if known else None, "new" if is_new else "already there"),
            "reason": "",
        }
    except PermanentError as error:
        return {**_row(certificate, key, None, "refused"), "reason": error.public}


def _refused(name: str, error: PermanentError) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": None,
        "answer": "refused",
        "thumbprint": "",
        "subject": "",
        "addresses": [],
        "key": False,
    }
    return {"file": name, **row, "reason": error.public}


def _print(rows: Sequence[dict[str, Any]], unreadable: int, *, as_json: bool) -> None:
    if as_json:
        show.print_json({"certificates": rows, "unreadable": unreadable})
    else:
        show.print_table(
            ("ID", "ANSWER", "KEY", "ADDRESSES", "SUBJECT", "FILE", "REASON"),
            [
                (row["id"], row["answer"], row["key"], row["addresses"], row["subject"], row["file"], row["reason"])
                for row in rows
            ],
        )
    if unreadable:
        print(f"letterlock: {unreadable} certificates in the files cannot be read.", file=sys.stderr)
