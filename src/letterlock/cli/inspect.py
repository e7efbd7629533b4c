"""``letterlock inspect``: take a message's S/MIME layers off and say what each was, without an installation.

Guarantees
    Offline: no network, no database, no keyholder; only the files that are named are read. Nothing is written but
    --out, and that only when every encrypted layer was opened, as a whole, for its owner alone.
    Exit code 0: every layer was read and every signature is "ok", or there is no layer; 1: not so, or a damaged file.

See also
    ``smime/peel.py`` (layers), ``smime/judge.py`` (verdicts); docs/reference/inspect.md (the answer, field by field).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from letterlock.cli import named_file, show
from letterlock.cli.certificate_import import read_file
from letterlock.errors import PermanentError
from letterlock.keyholder.signer import Bench, Load, Task
from letterlock.mail.decoded import UnclearMailboxes, mailboxes
from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.pki import crl, ocsp
from letterlock.pki.bundle import Bundle
from letterlock.pki.certificate import Certificate
from letterlock.pki.fetched import read_crl as read_outline
from letterlock.pki.path import Verdict
from letterlock.pki.revocation import Knowledge, Mode
from letterlock.pki.trust import Trust
from letterlock.smime import errors
from letterlock.smime.header_protection import Protected, protected
from letterlock.smime.judge import Judgement, asks_path, brought, is_author, judge, overall
from letterlock.smime.mime import names_cms, to_mime
from letterlock.smime.party import OwnKey, RecipientId
from letterlock.smime.peel import Layer, Peeled, peel
from letterlock.smime.verify import Outcome
from letterlock.vault.errors import KeyRefused

MAX_OCTETS = 256 << 20
_IS_CMS = bytes.fromhex("2a864886f70d01")  # the stem of the CMS content types, RFC 5652 14


class _Key:
    """A private key of a file, used by what a signer process uses."""

    def __init__(self, bench: Bench, key_id: bytes) -> None:
        self._bench = bench
        self._key_id = key_id

    def _use(self, operation: str, algorithm: str, octets: bytes, length: int = 0) -> bytes:
        outcome = self._bench.obey(Task(0, operation, self._key_id, algorithm, octets, length))
        if outcome is None or outcome.refusal:
            raise KeyRefused
        return outcome.octets

    async def sign(self, tbs: bytes, algorithm: str) -> bytes:
        return self._use("sign", algorithm, tbs)

    async def unwrap(self, algorithm: str, octets: bytes, length: int) -> bytes:
        return self._use("unwrap", algorithm, octets, length)

    async def agree(self, algorithm: str, peer: bytes) -> bytes:
        return self._use("agree", algorithm, peer)

    async def decapsulate(self, algorithm: str, octets: bytes) -> bytes:
        return self._use("decapsulate", algorithm, octets)


class _Keys:
    """The keys of the files; smime.party.KeyLookup."""

    def __init__(self, bundles: Sequence[Bundle]) -> None:
        bench = Bench()
        self._held: list[OwnKey] = []
        for each in (key for bundle in bundles for key in bundle.keys):
            bench.obey(Load(each.spki, each.pkcs8.octets))
            self._held += (OwnKey(certificate, _Key(bench, each.spki)) for certificate in each.certificates)

    async def find(self, recipients: Sequence[RecipientId]) -> Sequence[OwnKey]:
        return [own for own in self._held if any(each.names(own.certificate) for each in recipients)]


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def add_parser(subparsers: Any) -> None:
    """``inspect FILE``."""
    parser = subparsers.add_parser("inspect", help="what the S/MIME layers of a message are, without an installation")
    parser.add_argument("file", metavar="FILE", help="a message (.eml) or a CMS object (.p7m)")
    parser.add_argument(
        "--key", action="append", default=[], metavar="FILE", help="PKCS#12 or PEM with key and certificate"
    )
    parser.add_argument("--password", metavar="P", help="of the key files")
    parser.add_argument("--trust", action="append", default=[], metavar="FILE", help="PEM with trust anchors")
    parser.add_argument("--crl", action="append", default=[], metavar="FILE", help="revocation list, DER or PEM")
    parser.add_argument("--ocsp", action="append", default=[], metavar="FILE", help="OCSP answer, DER")
    parser.add_argument(
        "--revocation",
        choices=("none", "soft", "hard"),
        default="soft",
        help="what --crl and --ocsp do not tell of is good enough (soft, the default) or not (hard)",
    )
    parser.add_argument("--at", type=_time, metavar="TIME", help="judge at this time (RFC 3339; default: now)")
    parser.add_argument("--out", metavar="FILE", help="write the message without its layers")
    show.add_json(parser)


async def run(arguments: argparse.Namespace, door: None) -> int:
    """Take the layers off and print what they were."""
    del door
    message = _message(arguments.file)
    at = arguments.at or datetime.now(UTC)
    keys = [read_file(each, arguments.password) for each in arguments.key]
    anchors = [each for name in arguments.trust for each in read_file(name).certificates]
    known = [each for bundle in keys for each in bundle.certificates]
    peeled = await peel(message, _Keys(keys), known=[each.der for each in (*known, *anchors)])
    answer = describe(peeled, Trust(anchors, known, knowledge=_knowledge(arguments)), at, arguments.revocation)
    written = _write(arguments.out, peeled) if arguments.out else None
    if arguments.out:
        answer["written"] = written
    if arguments.json:
        show.print_json(answer)
    else:
        _print(answer)
    return 0 if answer["verdict"] == errors.OK and written is not False else 1


def _message(name: str) -> Message:
    """The file as a message; a CMS object alone gets a header."""
    octets = named_file.read(name, MAX_OCTETS)
    if not octets.strip():
        raise PermanentError(f"{name} is empty.")
    if octets[:1] == b"\x30" and _IS_CMS in octets[:64]:
        octets = b"".join(to_mime([octets], "enveloped-data"))
    return Message(octets)


def _write(name: str, peeled: Peeled) -> bool:
    """Whether the message was written: never half of it, never when something stayed shut (EFAIL)."""
    if any(not each.opened for each in peeled.layers):
        return False
    target = Path(name)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        try:
            file.write(peeled.bare().octets)
            file.flush()
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink()
            raise
    return True


def _knowledge(arguments: argparse.Namespace) -> Knowledge:
    """What the named files tell of revocation. Raises UsageError, MalformedCrl, MalformedAnswer."""
    lists = [crl.parse(read_outline(named_file.read(each, crl.MAX_OCTETS)).der) for each in arguments.crl]
    answers = [ocsp.parse(named_file.read(each, crl.MAX_OCTETS)) for each in arguments.ocsp]
    return Knowledge(tuple(lists), tuple(answers))


def _path(outcome: Outcome, layer: Layer, trust: Trust, at: datetime, mode: Mode) -> Verdict | None:
    """What is to be said of the signer's certificate, where the signature fits."""
    if outcome.signer is None or not asks_path(outcome):
        return None
    return trust.verdict(outcome.signer.certificate, at, "sign", brought(layer), mode)


def describe(peeled: Peeled, trust: Trust, at: datetime, mode: Mode = "soft") -> dict[str, Any]:
    """The answer as data."""
    message = peeled.message
    inner = protected(message, peeled.layers, peeled.payload)
    judged = [
        tuple(judge(each, message, _path(each, layer, trust, at, mode), inner) for each in layer.outcomes)
        for layer in peeled.layers
    ]
    layers = [
        _layer(number, layer, judgements, message, inner)
        for number, (layer, judgements) in enumerate(zip(peeled.layers, judged, strict=True))
    ]
    verdicts = [each["verdict"] for each in layers]
    if peeled.partial:
        verdicts.append(errors.NotCovered.verdict)
    if not layers and names_cms(Part.of(message)):  # a CMS object of a type that we do not open
        verdicts.append(errors.Unsupported.verdict)
    verdict = next((each for each in verdicts if each != errors.OK), errors.OK)
    signed = [each for each in layers if each["signers"]]
    return {
        "verdict": verdict,
        "sentence": errors.SENTENCES[verdict] if verdicts else "Nothing is signed or encrypted by S/MIME.",
        "at": at,
        "from": _authors(message),
        "from_covered": bool(signed) and verdict == errors.OK and all(each["from_covered"] for each in signed),
        "layers": layers,
        "not_covered": [{"type": each, "sentence": errors.SENTENCES["not-covered"]} for each in peeled.partial],
        "protected_header": _protected(inner),
    }


def _authors(message: Message) -> list[str]:
    found: list[str] = []
    for value in message.values(b"from"):
        try:
            found += [str(each.address) for each in mailboxes(value)]
        except UnclearMailboxes:
            found.append("?")
    return found


def _layer(
    level: int, layer: Layer, judgements: Sequence[Judgement], message: Message, inner: Protected | None
) -> dict[str, Any]:
    verdict = layer.verdict if not layer.opened else overall(judgements)
    signers: list[dict[str, Any]] = []
    for outcome, judged in zip(layer.outcomes, judgements, strict=True):
        signer = outcome.signer
        covers = signer is not None and judged.verdict == errors.OK and is_author(signer.certificate, message, inner)
        signers.append(
            {
                "verdict": judged.verdict,
                "sentence": errors.SENTENCES[judged.verdict],
                "addresses": list(judged.addresses),
                "identifier": judged.identifier,
                "subject": signer.certificate.subject if signer else None,
                "algorithm": signer.algorithm if signer else None,
                "digest": signer.digest if signer else None,
                "signed_at": signer.signed_at if signer else None,
                "reasons": list(judged.reasons),
                "revocation": judged.revocation,
                "from_covered": covers,
            }
        )
    parts = {"clear": "the first part of multipart/signed", "opaque": "the content inside"}
    return {
        "level": level,
        "type": "certificates" if layer.kind == "signed" and layer.opened and not signers else layer.kind,
        "opened": layer.opened,
        "verdict": verdict,
        "sentence": errors.SENTENCES[verdict],
        "form": layer.form or None,
        "signed_part": parts.get(layer.form),
        "canonical": layer.canonical,
        "algorithms": sorted({layer.cipher, *(each.algorithm for o in layer.outcomes if (each := o.signer))} - {""}),
        "recipients": [str(each) for each in layer.recipients],
        "opened_by": [_name(each) for each in layer.holders],
        "weak": layer.weak,
        "signers": signers,
        "addresses": [address for each in judgements for address in each.addresses],
        "from_covered": bool(signers) and verdict == errors.OK and any(each["from_covered"] for each in signers),
    }


def _name(certificate: Certificate) -> str:
    return certificate.addresses[0] if certificate.addresses else certificate.subject


def _protected(inner: Protected | None) -> dict[str, Any] | None:
    if inner is None:
        return None
    return {"scheme": inner.scheme, "fields": list(inner.names), "subject": inner.subject, "outer": dict(inner.outer)}


def _print(answer: dict[str, Any]) -> None:
    """For a person."""
    rows = []
    for each in answer["layers"]:
        about = each["addresses"] or each["opened_by"] or each["recipients"]
        rows.append((each["level"], each["type"], each["verdict"], each["algorithms"], about, each["sentence"]))
    rows += [("-", each["type"], "not-covered", "", "", each["sentence"]) for each in answer["not_covered"]]
    if rows:
        show.print_table(("LEVEL", "TYPE", "VERDICT", "ALGORITHMS", "WHO", "MEANING"), rows)
    facts: dict[str, Any] = {"verdict": f"{answer['verdict']}: {answer['sentence']}", "from": answer["from"]}
    facts["from covered"] = answer["from_covered"]
    if answer["protected_header"]:
        facts["protected subject"] = answer["protected_header"]["subject"]
    if "written" in answer:
        facts["written"] = answer["written"]
    show.print_facts(facts)
