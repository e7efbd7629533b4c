"""``letterlock pki check``: is a certificate good, by given anchors and lists alone; one to read, or many in a batch.

Guarantees
    Offline: no installation, database or network. Each certificate is judged in a child with no rights (``confine``):
    hostile octets end it at most, and the answer is then no, with the reason "too-complex".
    A list or an OCSP answer that cannot be read is refused by name, never left out.
    --batch answers every line of standard input with one line, in order, whatever stands in it, within 2 s each.
    Exit codes: a single check ends with 1 when the answer is no; a batch with 0 when every line was answered.

See also
    ``pki/case.py`` for what a case and an answer are; docs/reference/pki-check.md for every field.
"""

from __future__ import annotations

import argparse
import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final, NoReturn

from letterlock.cli import named_file, show
from letterlock.confine import late
from letterlock.confine.errors import ChildEnded, WorkFailed
from letterlock.confine.limits import Limits
from letterlock.confine.server import ForkServer
from letterlock.errors import PermanentError, UsageError
from letterlock.pki import bundle, case, crl
from letterlock.pki.certificate import Certificate
from letterlock.pki.errors import MalformedCrl
from letterlock.pki.reasons import SENTENCES, Reason

MAX_LINE: Final = 96 << 20
"""Octets of one case; enough for a list of 64 MiB in base64."""
_LIMITS: Final = Limits(memory=1 << 30, seconds=1.5)


def add_parser(subparsers: Any) -> None:
    """``pki check``."""
    parser = subparsers.add_parser("pki", help="check certificates offline")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    checking = verbs.add_parser("check", help="is a certificate good, by the given anchors and lists alone")
    checking.add_argument(
        "certificate", metavar="CERT", nargs="?", help="PEM or DER file; others in it are intermediates"
    )
    checking.add_argument("--batch", action="store_true", help="one JSON case a line in, one answer a line out")
    for name, line in (
        ("anchor", "file of trusted certificates"),
        ("intermediate", "file of certificates that may stand between"),
        ("crl", "file with a revocation list, PEM or DER"),
        ("ocsp", "file with an OCSP answer, DER"),
        ("policy", "certificate policy that the path must fit (dotted OID)"),
    ):
        checking.add_argument(
            f"--{name}", action="append", default=[], metavar=name.upper(), help=f"{line}; repeatable"
        )
    checking.add_argument("--purpose", choices=("any", "sign", "encrypt"), default="any", help="any: the path alone")
    checking.add_argument("--address", help="mail address that the certificate must name")
    checking.add_argument("--at", metavar="TIME", help="RFC 3339 time to judge for; default: now")
    checking.add_argument("--revocation", choices=("require", "soft", "none"), default="soft")
    checking.add_argument("--explicit-policy", action="store_true", help="some policy must hold along the whole path")
    checking.add_argument("--lenient", action="store_true", help="bear what issuers do wrong without harm, as for mail")
    show.add_json(checking)


async def run(arguments: argparse.Namespace, _door: None) -> int:
    """Carry out the check."""
    if arguments.batch == (arguments.certificate is not None):
        raise UsageError("Name one certificate file, or say --batch and give cases on standard input.")
    late.load(*case.LIBRARIES)
    server = ForkServer.start({"answer": case.answer, "explain": case.explain}, _LIMITS)
    try:
        if arguments.batch:
            return _batch(server, sys.stdin.buffer, sys.stdout.buffer)
        return _single(server, arguments)
    finally:
        server.stop()


def _batch(server: ForkServer, source: BinaryIO, sink: BinaryIO) -> int:
    for line in _lines(source):
        sink.write(_answer(server, line) + b"\n")
        sink.flush()
    return 0


def _answer(server: ForkServer, line: bytes | None) -> bytes:
    if line is None:
        return case.refusal(b"", Reason.MALFORMED_CASE, detail=f"The line is longer than {MAX_LINE} octets")
    try:
        return server.run("answer", line)
    except ChildEnded:
        return case.refusal(line, Reason.TOO_COMPLEX)
    except WorkFailed:
        return case.refusal(line, Reason.INVALID_PATH)


def _lines(source: BinaryIO) -> Iterator[bytes | None]:
    """Lines without their ends; None for one that is too long. Empty lines are cases too, malformed ones."""
    while line := source.readline(MAX_LINE):
        if line.endswith(b"\n") or len(line) < MAX_LINE:
            yield line.rstrip(b"\r\n")
            continue
        while (rest := source.readline(1 << 20)) and not rest.endswith(b"\n"):
            pass
        yield None


def _single(server: ForkServer, arguments: argparse.Namespace) -> int:
    question, origins = _question(arguments)
    line = json.dumps(question).encode()
    try:
        told: dict[str, Any] = json.loads(server.run("explain", line))
    except ChildEnded:
        told = _nothing(Reason.TOO_COMPLEX)
    except WorkFailed:
        told = _nothing(Reason.INVALID_PATH)
    del told["id"]
    if Reason.MALFORMED_CASE in told["reasons"]:
        _refuse(told["detail"], origins)
    if arguments.json:
        show.print_json(told)
    else:
        _print(told)
    return 0 if told["ok"] else 1


def _refuse(detail: str, origins: dict[str, str]) -> NoReturn:
    """``detail``: what is wrong with the case; ``origins``: whose fault each field is. Raises PermanentError."""
    sentence, _, field = detail.partition(" - at ")
    origin = origins.get(field.strip("`"))
    if origin is None:
        raise UsageError(f"The question cannot be read: {detail}.")
    raise PermanentError(f"{origin}: {sentence}.")


def _nothing(reason: Reason) -> dict[str, Any]:
    told = {"id": None, "ok": False, "reasons": [reason.value], "sentences": [SENTENCES[reason]], "detail": ""}
    return {**told, "path": [], "since": None, "until": None, "rejected": []}


def _question(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    """The case, and for each of its fields that may be wrong where it comes from."""
    first, *others = _certificates(arguments.certificate)
    at = _time(arguments.at)
    crls = [(name, each) for name in arguments.crl for each in _lists(name)]
    ocsp = [(name, each) for name in arguments.ocsp for each in _octets(name)]
    question = {
        "leaf": first,
        "intermediates": [*others, *_all(_certificates, arguments.intermediate)],
        "anchors": list(_all(_certificates, arguments.anchor)),
        "crls": [each for _, each in crls],
        "ocsp": [each for _, each in ocsp],
        "at": at.isoformat(),
        "purpose": arguments.purpose,
        "revocation": arguments.revocation,
        "initial_policies": arguments.policy,
        "explicit_policy": arguments.explicit_policy or bool(arguments.policy),
        "lenient": arguments.lenient,
    }
    origins = {f"$.crls[{number}]": name for number, (name, _) in enumerate(crls)}
    origins |= {f"$.ocsp[{number}]": name for number, (name, _) in enumerate(ocsp)}
    origins |= {f"$.initial_policies[{number}]": f"--policy {each}" for number, each in enumerate(arguments.policy)}
    return question | ({"address": arguments.address} if arguments.address else {}), origins


def _time(said: str | None) -> datetime:
    if said is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise UsageError("--at takes a time such as 2026-11-27T12:00:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _all(read: Callable[[str], Iterable[str]], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from read(name)


def _certificates(name: str) -> list[str]:
    found = bundle.read(named_file.read(name, bundle.MAX_OCTETS)).certificates
    return [_encoded(each) for each in found]


def _encoded(certificate: Certificate) -> str:
    return b64encode(certificate.der).decode()


def _lists(name: str) -> list[str]:
    octets = named_file.read(name, crl.MAX_OCTETS)
    if b"-----BEGIN X509 CRL-----" not in octets:
        return [b64encode(octets).decode()]
    blocks = octets.split(b"-----BEGIN X509 CRL-----")[1:]
    found = ["".join(each.partition(b"-----END")[0].decode("ascii", "replace").split()) for each in blocks]
    if not all(found):
        raise MalformedCrl(f"{name}: The revocation list cannot be read.")
    return found


def _octets(name: str) -> list[str]:
    return [b64encode(named_file.read(name, crl.MAX_OCTETS)).decode()]


def _print(told: dict[str, Any]) -> None:
    print("good" if told["ok"] else "not good")
    for reason, sentence in zip(told["reasons"], told["sentences"], strict=True):
        print(f"  {reason}: {sentence}")
    if told["detail"]:
        print(f"  ({show.safe(told['detail'])})")
    if told["ok"]:
        print("path:")
        for depth, each in enumerate(told["path"]):
            print(f"  {'  ' * depth}{show.safe(each)}")
        print(f"the same until {told['until']}")
    for each in told["rejected"]:
        print(f"not by {' < '.join(map(show.safe, each['path']))}: {', '.join(each['reasons'])}")
        if each["detail"]:
            print(f"  ({show.safe(each['detail'])})")
