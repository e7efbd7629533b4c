"""``letterlock certificate export``: certificates out, one by one or all of a domain; a private key out, with care.

Guarantees
    Without ``--private`` there is no private key in what is written. With it: one key, a reason, a confirmation, and a
    proof made at that moment: the doorkeeper is asked anew who this is. The database checks reason and age of the proof,
    audits, and has the key's owner and postmaster told (keyholder/export_key.sql). The file is locked by a password that
    is shown here once; it appears with mode 0600, and never over another.
    In bulk each certificate gets its line; one that cannot be written stops no other, and the exit code is 1.

See also
    ``pki/bundle.py`` (file formats), ``keyholder/certify.py`` (how a private key is packed).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from letterlock.cli import show
from letterlock.cli.connect import Door, prove_anew
from letterlock.errors import PermanentError, UsageError
from letterlock.pki import bundle
from letterlock.pki.calls import ShownCertificate
from letterlock.pki.certificate import Certificate, parse
from letterlock.vault.errors import KeyRefused

WORD = "export"
_PLAIN = re.compile(r"[^A-Za-z0-9@._+-]")
PRIVATE_FORMS = ("p12", "pem")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything but WHICH."""
    parser.add_argument("--format", choices=("pem", "der", "p7b", "p12"), help="pem; with --private p12")
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="a file instead of standard output; a folder: a file for each"
    )
    parser.add_argument(
        "--private", action="store_true", help="the private key too, in a locked file (--format p12 or pem)"
    )
    parser.add_argument("--reason", default="", help="with --private: why; audited, and told to owner and postmaster")
    parser.add_argument("--yes", action="store_true", help="with --private: do not ask")
    show.add_json(parser)


async def run(
    arguments: argparse.Namespace, door: Door, found: Sequence[ShownCertificate], above: Sequence[Certificate]
) -> int:
    """Write them. ``above``: the issuers of the one certificate whose private key is asked for."""
    if arguments.private:
        return await _private(arguments, door, found, above)
    form = arguments.format or "pem"
    if form == "p12":
        raise UsageError("A PKCS#12 file holds a private key: say --private, or choose pem, der or p7b.")
    certificates = [parse(bytes(row.der)) for row in found]
    if arguments.out is not None and arguments.out.is_dir():
        return _each(certificates, form, arguments.out, as_json=arguments.json)
    octets = _octets(certificates, form)
    if arguments.out:
        arguments.out.write_bytes(octets)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(octets)
    return 0


def _octets(certificates: Sequence[Certificate], form: str) -> bytes:
    if form == "der":
        if len(certificates) > 1:
            raise UsageError(
                "A DER file holds one certificate; name one by its id, a folder with --out, or choose pem or p7b."
            )
        return certificates[0].der
    return bundle.to_p7b(certificates) if form == "p7b" else bundle.to_pem(certificates)


def _each(certificates: Sequence[Certificate], form: str, folder: Path, *, as_json: bool) -> int:
    rows: list[dict[str, Any]] = []
    for each in certificates:
        name = _PLAIN.sub("_", each.addresses[0] if each.addresses else "certificate").lstrip(".")
        path = folder / f"{name}-{each.thumbprint.hex()[:16]}.{form}"
        row = {"file": str(path), "addresses": list(each.addresses), "thumbprint": each.thumbprint.hex()}
        try:
            path.write_bytes(_octets([each], form))
        except OSError as error:
            rows.append({**row, "answer": "refused", "reason": error.strerror})
        else:
            rows.append({**row, "answer": "exported", "reason": ""})
    if as_json:
        show.print_json(rows)
    else:
        head = ("ANSWER", "ADDRESSES", "FILE", "REASON")
        show.print_table(head, [(r["answer"], r["addresses"], r["file"], r["reason"]) for r in rows])
    return 1 if any(row["answer"] == "refused" for row in rows) else 0


async def _private(
    arguments: argparse.Namespace, door: Door, found: Sequence[ShownCertificate], above: Sequence[Certificate]
) -> int:
    form = arguments.format or "p12"
    if form not in PRIVATE_FORMS:
        raise UsageError("A private key leaves as --format p12 or pem.")
    if not arguments.reason.strip():
        raise UsageError("--private needs --reason: why the key leaves.")
    if arguments.out is None:
        raise UsageError("--private needs --out FILE.")
    if len(found) > 1:
        raise UsageError("Name one certificate by its id: private keys leave one by one.")
    row = found[0]
    if row.key_id is None:
        raise PermanentError("There is no private key of this certificate here.")
    certificate = parse(bytes(row.der))
    _confirm(certificate, asked=not arguments.yes)
    descriptor = _new_file(arguments.out)
    try:
        async with prove_anew(door) as token:
            chain = [certificate.der, *(each.der for each in above)]
            name = certificate.addresses[0] if certificate.addresses else certificate.subject
            octets, password = await door.keyholder.export_key(
                token, row.key_id, chain, name, reason=arguments.reason, form=form
            )
    except BaseException as error:
        os.close(descriptor)
        arguments.out.unlink(missing_ok=True)
        if isinstance(error, KeyRefused):
            raise PermanentError(error.public) from error
        raise
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
    told = {"file": str(arguments.out), "addresses": list(certificate.addresses), "password": password.octets.decode()}
    if arguments.json:
        show.print_json(told)
    else:
        show.print_facts(told)
    return 0


def _new_file(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"Cannot make {path}: {error.strerror}.") from error


def _confirm(certificate: Certificate, *, asked: bool) -> None:
    if not asked:
        return
    if not sys.stdin.isatty():
        raise UsageError("There is no terminal to ask at: say --yes.")
    whose = show.safe(", ".join(certificate.addresses) or certificate.subject)
    print(f"The private key of {whose} leaves the gateway; its owner and postmaster are told.", file=sys.stderr)
    print(f"Type {WORD} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != WORD:
        raise UsageError("Nothing was exported.")
