"""How ``letterlock ca`` reads its files and shows what it did.

Guarantees
    Certificates and requests are printed as PEM; private keys are not here at all.
"""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from letterlock.cli import named_file, show
from letterlock.errors import UsageError
from letterlock.pki import bundle
from letterlock.pki.ca.bulk import Result
from letterlock.pki.ca.calls import Authority, Issued, Request
from letterlock.pki.ca.handover import Package
from letterlock.pki.ca.profile import Profile
from letterlock.pki.certificate import Certificate, parse

GOOD_ANSWERS = ("issued", "approval", "certificate", "enrolling", "there", "open", "new")


def pem(ders: Iterable[bytes], label: str = "CERTIFICATE") -> None:
    """PEM blocks (RFC 7468)."""
    for der in ders:
        lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
        print(f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----")


def read_certificates(name: str) -> Sequence[Certificate]:
    """The certificates of a file. Raises UsageError, CertificateError."""
    return bundle.read(named_file.read(name, bundle.MAX_OCTETS)).certificates


def authorities(rows: Sequence[Authority], as_json: bool) -> int:
    """The authorities."""
    told = [
        {
            "id": each.id,
            "name": each.name,
            "kind": each.kind,
            "generation": each.generation,
            "revoked_at": each.revoked_at,
            "reason": each.reason,
            "subject": parse(each.der).subject,
            "not_after": each.not_after,
            "crl": f"{each.url}/crl/{each.label}.crl",
            "crl_number": each.crl_number,
            "crl_until": each.crl_until,
            "ocsp": f"{each.url}/ocsp",
            "thumbprint": parse(each.der).thumbprint.hex(),
        }
        for each in rows
    ]
    if as_json:
        show.print_json(told)
        return 0
    headings = ("NAME", "KIND", "SUBJECT", "VALID UNTIL", "REVOKED", "LIST", "LIST HOLDS UNTIL", "WHERE")
    fields = ("name", "kind", "subject", "not_after", "revoked_at", "crl_number", "crl_until", "crl")
    show.print_table(
        headings,
        [[each[name] for name in fields] for each in told],
        empty="No authority; make one: letterlock ca create.",
    )
    return 0


def _plain_request(each: Request) -> dict[str, Any]:
    return {name: value for name, value in each._asdict().items() if name != "csr"}


def request(one: Request, as_json: bool) -> int:
    """A request and how it stands; 1 when it failed."""
    if as_json:
        show.print_json(_plain_request(one))
    else:
        facts = {"request": one.id, "address": one.address, "state": one.state, "certificate": one.issued}
        show.print_facts(facts | ({"why": one.reason} if one.reason else {}))
    return 1 if one.state == "failed" else 0


def requests(rows: Sequence[Request], as_json: bool) -> int:
    """Requests."""
    if as_json:
        show.print_json([_plain_request(each) for each in rows])
        return 0
    headings = ("ID", "ADDRESS", "STATE", "HANDLER", "SOURCE", "TRIES", "AGAIN AT", "WHY")
    fields = [(r.id, r.address, r.state, r.handler, r.source, r.tries, r.due_at, r.reason) for r in rows]
    show.print_table(headings, fields, empty="No request waits.")
    return 0


def results(rows: Sequence[Result], as_json: bool) -> int:
    """What became of each line of a file; 1 when a line could not be used."""
    if as_json:
        show.print_json([each._asdict() for each in rows])
    else:
        show.print_table(("LINE", "ADDRESS", "ANSWER", "DETAIL"), rows, empty="The file has no lines.")
    return 0 if all(each.answer in GOOD_ANSWERS for each in rows) else 1


def issued(rows: Sequence[Issued], as_json: bool) -> int:
    """Certificates given out."""
    if as_json:
        show.print_json([{**each._asdict(), "serial": each.serial.hex()} for each in rows])
        return 0
    headings = ("ID", "ADDRESS", "SERIAL", "VALID UNTIL", "KEY", "REVOKED", "REASON")
    fields = [
        (r.id, r.address, r.serial.hex(), r.not_after, r.key_id is not None, r.revoked_at, r.reason or "") for r in rows
    ]
    show.print_table(headings, fields, empty="No certificate was given out.")
    return 0


def answer(said: str, as_json: bool) -> int:
    """One word or sentence."""
    if as_json:
        show.print_json({"answer": said})
    else:
        print(said)
    return 0


def parcel(made: Package, as_json: bool) -> int:
    """The password of a file that was handed over: the one place where it is shown."""
    facts = {"address": made.certificate.address, "password": made.password.octets.decode()}
    if as_json:
        show.print_json(facts)
    else:
        show.print_facts(facts)
    return 0


def profiles(known: Mapping[str, Mapping[str, Any]], as_json: bool) -> int:
    """The profiles."""
    if as_json:
        show.print_json([{"name": name, **body} for name, body in sorted(known.items())])
        return 0
    for name, body in sorted(known.items()):
        show.print_facts({"profile": name, **body})
        print()
    return 0


def values(words: Iterable[str]) -> dict[str, Any]:
    """The plain values of FIELD=VALUE words, by the kinds of the Profile's fields. Raises UsageError."""
    found: dict[str, Any] = {}
    factory = Profile()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in factory.__struct_fields__:
            raise UsageError(f"{word!r} is no FIELD=VALUE; fields are {', '.join(factory.__struct_fields__)}.")
        like = getattr(factory, name)
        if isinstance(like, bool):
            if value not in ("yes", "no"):
                raise UsageError(f"{name} is yes or no.")
            found[name] = value == "yes"
        elif isinstance(like, int):
            if not value.isdigit():
                raise UsageError(f"{name} is a whole number.")
            found[name] = int(value)
        elif isinstance(like, tuple):
            found[name] = [each for each in value.split(",") if each]
        else:
            found[name] = value
    return found
