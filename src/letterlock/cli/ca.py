"""``letterlock ca``: the built-in certificate authority: found it, issue, revoke, requests, bulk, hand-over.

Guarantees
    No private key is printed. What ``send`` hands out is sealed in a PKCS #12 file; its password is printed here and is
    in no mail. Exit code 1 when there is no such thing, or a line of a file could not be used.

See also
    ``pki/ca`` (what is done), ``ca_tell.py`` (how it is shown).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from letterlock.cli import ca_succession as succession
from letterlock.cli import ca_tell as tell
from letterlock.cli import show
from letterlock.cli.ca_submit import check_readable, submit
from letterlock.cli.certificate_import import keep
from letterlock.cli.connect import Door
from letterlock.config.load import load
from letterlock.errors import PermanentError, UsageError
from letterlock.pki import calls as pki
from letterlock.pki.ca import bulk, calls, handover, pending, profile, publish
from letterlock.pki.ca.calls import Authority, Request
from letterlock.pki.ca.errors import AuthorityError, RequestInvalid
from letterlock.pki.ca.handlers import HANDLERS
from letterlock.pki.ca.issue import Founding, Office, Subject, found
from letterlock.pki.ca.request import check_answer
from letterlock.pki.ca.revoke import REASONS, revoke
from letterlock.pki.certificate import Certificate, match_form, parse
from letterlock.policy import calls as policy
from letterlock.supervise import place

Verb = Callable[[argparse.Namespace, Door, Office], Awaitable[int]]


def add_parser(subparsers: Any) -> None:
    """All verbs of ``ca``."""
    parser = subparsers.add_parser("ca", help="the certificate authority")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    making = verbs.add_parser("create", help="a new authority: a root and, below it, one that issues")
    making.add_argument("name")
    making.add_argument("--url", help="where the public listener is reached; default: http:// and [http] public")
    making.add_argument("--key", choices=("rsa-3072", "rsa-4096", "ec-p256", "ec-p384"), default="rsa-3072")
    making.add_argument("--holder", default="", help="organisation in the authorities' names")
    making.add_argument("--domain", action="append", default=[], metavar="NAME", help="it may name these domains only")
    making.add_argument("--root-days", type=int, default=3650)
    making.add_argument("--days", type=int, default=1825, help="of the issuing authority (1825)")
    making.add_argument("--token", action="store_true", help="make its keys on the PKCS #11 token ([pkcs11])")
    making.add_argument("--no-trust", action="store_true", help="do not make the root a trust anchor of this gateway")
    listing = verbs.add_parser("list", help="the authorities")
    export = verbs.add_parser("export", help="certificates of an authority as PEM, the issuing one first")
    export.add_argument("name")
    issuing = verbs.add_parser("issue", help="a certificate with its key, for an address")
    issuing.add_argument("address")
    issuing.add_argument("--name", default="", help="who the person is; default: the address")
    many = verbs.add_parser("bulk", help="certificates for the addresses of a CSV file with the columns email, name")
    many.add_argument("file", type=Path, metavar="FILE")
    many.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    for each in (issuing, many):
        each.add_argument("--ca", default="", metavar="NAME", help="the authority; default: the newest")
        each.add_argument("--profile", default=profile.DEFAULT)
        each.add_argument("--handler", choices=tuple(HANDLERS), default="builtin")
    given = verbs.add_parser("issued", help="the certificates given out")
    given.add_argument("address", nargs="?")
    revoking = verbs.add_parser("revoke", help="a certificate is valid no more; the new list is published at once")
    revoking.add_argument("id", type=UUID)
    revoking.add_argument("--reason", choices=REASONS, default="unspecified")
    sending = verbs.add_parser("send", help="hand a certificate with its key to its owner; prints the password")
    sending.add_argument("id", type=UUID)
    sending.add_argument("--from", dest="sender", help="mail it as this sender, through this gateway")
    sending.add_argument("--out", type=Path, metavar="FILE", help="write the PKCS #12 file there instead")
    confirming = verbs.add_parser("confirm", help="its owner outside has the key now: mail is encrypted to it")
    confirming.add_argument("id", type=UUID)
    publishing = verbs.add_parser("publish", help="make the lists and OCSP answers that are due")
    for each in (making, listing, issuing, many, given, revoking, sending, confirming, publishing):
        show.add_json(each)
    succession.add_parsers(verbs)
    _add_pending(verbs)
    _add_profile(verbs)


def _add_pending(verbs: Any) -> None:
    waiting = verbs.add_parser("pending", help="requests that wait: list, approve, reject, retry, csr, answer")
    ways = waiting.add_subparsers(dest="way", metavar="VERB", required=True)
    listing = ways.add_parser("list", help="open and failed requests")
    listing.add_argument("--all", action="store_true", help="those done and rejected too")
    show.add_json(listing)
    for name, line in (
        ("approve", "have a delayed request carried out now"),
        ("reject", "it shall not be carried out"),
        ("retry", "try it now"),
    ):
        one = ways.add_parser(name, help=line)
        one.add_argument("id", type=UUID)
        show.add_json(one)
    csr = ways.add_parser("csr", help="the PKCS #10 request as PEM, for an authority elsewhere")
    csr.add_argument("id", type=UUID)
    answer = ways.add_parser("answer", help="the certificate that an authority elsewhere gave for the request")
    answer.add_argument("id", type=UUID)
    answer.add_argument("file", metavar="FILE", help="PEM, DER or P7B")
    show.add_json(answer)


def _add_profile(verbs: Any) -> None:
    shaping = verbs.add_parser("profile", help="what certificates look like: list, set")
    ways = shaping.add_subparsers(dest="way", metavar="VERB", required=True)
    show.add_json(ways.add_parser("list", help="the profiles"))
    setting = ways.add_parser("set", help="change or make a profile: days=365 key=ec-p256 on_token=yes ...")
    setting.add_argument("name")
    setting.add_argument("values", nargs="+", metavar="FIELD=VALUE")


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Carry out one verb."""
    verbs: dict[str, Verb] = {
        "create": _create,
        "list": _list,
        "export": _export,
        "renew": succession.renew,
        "revoke-authority": succession.revoke,
        "issue": _issue,
        "bulk": _bulk,
        "issued": _issued,
        "revoke": _revoke,
        "send": _send,
        "confirm": _confirm,
        "publish": _publish,
        "pending": _pending,
        "profile": _profile,
    }
    return await verbs[arguments.verb](arguments, door, Office(door.gate, door.keyholder, door.token))


def _now() -> datetime:
    return datetime.now(UTC)


async def _organisation(door: Door) -> UUID:
    for each in await policy.organisations(door.gate, token=door.token):
        if each.name == "default":
            return each.id
    raise PermanentError("There is no organisation 'default'.")


async def _create(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    url = arguments.url or _own_url(door)
    if not url.startswith("http://") or url.endswith("/") or not url.isascii() or " " in url:
        raise UsageError(
            "--url must begin with http:// and not end with / (RFC 5280 8: https here would ask for itself)."
        )
    if not 1 <= arguments.days <= arguments.root_days <= 36_500:
        raise UsageError("--days must be at least 1 and not more than --root-days.")
    wanted = Founding(
        organisation=await _organisation(door),
        name=arguments.name,
        url=url,
        key=arguments.key,
        root_days=arguments.root_days,
        issuing_days=arguments.days,
        domains=[each.lower() for each in arguments.domain],
        holder=arguments.holder,
        on_token=arguments.token,
    )
    root, issuing = await found(office, wanted, _now())
    for each in (root, issuing):
        kept = await _keep(door, parse(each.der), None)
        if each is root and not arguments.no_trust:
            await pki.add_anchor(door.gate, token=door.token, id=kept)
    await publish.refresh(office, _now())
    made = {root.id, issuing.id}
    rows = await calls.authorities(door.gate, token=door.token)
    return tell.authorities([each for each in rows if each.id in made], arguments.json)


def _own_url(door: Door) -> str:
    public = load(door.state / place.SETTINGS_FILE, os.environ).http.public
    if public is None:
        raise UsageError("Say with --url where the lists of revocations will be reached, or set [http] public.")
    return f"http://{public}"


async def _keep(door: Door, certificate: Certificate, key: UUID | None) -> UUID:
    """Keep a certificate in the store; its id."""
    kept = await keep(door, certificate, None, key, certificate.spki)
    if kept.id is None:
        raise PermanentError(f"The certificate of {certificate.subject} was refused: {kept.answer}.")
    return kept.id


async def _list(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    return tell.authorities(await calls.authorities(door.gate, token=door.token), arguments.json)


async def _export(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    rows = await calls.authorities(door.gate, token=door.token)
    chain: list[Authority] = [each for each in reversed(rows) if each.name == arguments.name]
    if not chain:
        raise AuthorityError(f"There is no authority {arguments.name!r}; 'letterlock ca list' shows those there are.")
    tell.pem([each.der for each in chain])
    return 0


def _wish(arguments: argparse.Namespace, organisation: UUID) -> pending.Wish:
    return pending.Wish(arguments.handler, arguments.ca, arguments.profile, organisation)


async def _issue(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    wish = _wish(arguments, await _organisation(door))
    answer, request_id = await pending.ask(office, Subject(arguments.address, arguments.name), wish)
    if answer == "already":
        raise RequestInvalid(f"There is an open request for that address already: {request_id}.")
    assert request_id is not None
    return await _carry_out(arguments, office, request_id)


async def _request(office: Office, request_id: UUID) -> Request:
    rows = await calls.requests(office.gate, token=office.token, id=request_id)
    if not rows:
        raise RequestInvalid("There is no such request; 'letterlock ca pending list' shows those there are.")
    return rows[0]


async def _carry_out(arguments: argparse.Namespace, office: Office, request_id: UUID) -> int:
    """Carry a request out if it is due, and show it."""
    request = await _request(office, request_id)
    if request.state == "due":
        await pending.carry_out(office, request, _now())
        await publish.refresh(office, _now())
        request = await _request(office, request_id)
    return tell.request(request, arguments.json)


async def _bulk(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    try:
        octets = arguments.file.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read {arguments.file}: {error.strerror}.") from error
    wish = _wish(arguments, await _organisation(door))
    results = await bulk.carry(office, bulk.read(octets), wish, _now(), dry=arguments.dry_run)
    if not arguments.dry_run:
        await publish.refresh(office, _now())
    return tell.results(results, arguments.json)


async def _issued(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    form = match_form(arguments.address) if arguments.address else None
    rows = await calls.issued(door.gate, token=door.token, address=form, id=None, max=10_000)
    return tell.issued(rows, arguments.json)


async def _revoke(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    return tell.answer(await revoke(office, arguments.id, arguments.reason, _now()), arguments.json)


async def _publish(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    made = await publish.refresh(office, _now())
    return tell.answer(f"{made.lists} lists and {made.answers} answers were made", arguments.json)


async def _send(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    if (arguments.sender is None) == (arguments.out is None):
        raise UsageError("Say either --from ADDRESS, to mail it, or --out FILE.")
    if arguments.sender is not None and not match_form(arguments.sender):
        raise UsageError(f"{arguments.sender!r} is not a mail address.")
    if arguments.sender is not None:
        for each in await calls.issued(door.gate, token=door.token, address=None, id=arguments.id, max=1):
            await check_readable(door, match_form(arguments.sender), each.address)  # before the key is given out
    parcel = await handover.package(office, arguments.id)
    if arguments.out is not None:
        arguments.out.touch(mode=0o600)
        arguments.out.write_bytes(parcel.p12)
    else:
        mail = handover.message(parcel, arguments.sender, arguments.sender.rpartition("@")[2], _now().timestamp())
        settings = load(door.state / place.SETTINGS_FILE, os.environ)
        await submit(settings.smtp.listen[0], arguments.sender, parcel.certificate.address, mail)
    return tell.parcel(parcel, arguments.json)


async def _confirm(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    answer = await calls.confirm(door.gate, token=door.token, id=arguments.id)
    if answer == "not-found":
        raise AuthorityError("Our authorities gave out no such certificate.")
    return tell.answer(answer, arguments.json)


async def _pending(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    if arguments.way == "list":
        return tell.requests(await calls.requests(door.gate, token=door.token, all=arguments.all), arguments.json)
    request = await _request(office, arguments.id)
    if arguments.way == "csr":
        if request.csr is None:
            raise RequestInvalid("This request has no PKCS #10 request.")
        tell.pem([request.csr], "CERTIFICATE REQUEST")
        return 0
    if arguments.way == "answer":
        return await _take_answer(arguments, door, office, request)
    answer = await calls.decide_request(door.gate, token=door.token, id=request.id, verdict=arguments.way)
    if answer != "done":
        raise RequestInvalid(f"A request in the state {request.state!r} cannot be treated so.")
    return await _carry_out(arguments, office, request.id)


async def _take_answer(arguments: argparse.Namespace, door: Door, office: Office, request: Request) -> int:
    certificates = tell.read_certificates(arguments.file)
    own = next((each for each in certificates if request.address in each.addresses), None)
    if own is None:
        raise RequestInvalid(f"The file holds no certificate of {request.address}.")
    check_answer(request, own.der)
    kept = await _keep(door, own, request.key_id)
    for each in certificates:
        if each is not own and each.is_authority:
            await _keep(door, each, None)
    await calls.put_request(
        door.gate,
        token=door.token,
        id=request.id,
        state="done",
        reason="",
        due_at=_now(),
        key_id=None,
        csr=None,
        issued=kept,
    )
    return tell.request(await _request(office, request.id), arguments.json)


async def _profile(arguments: argparse.Namespace, door: Door, office: Office) -> int:
    organisation = await _organisation(door)
    known = {each.name: each.body for each in await calls.profiles(door.gate, token=door.token)}
    known.setdefault(profile.DEFAULT, profile.plain(profile.Profile()))
    if arguments.way == "list":
        return tell.profiles(known, arguments.json)
    values = tell.values(arguments.values)
    body = profile.plain(profile.made({**known.get(arguments.name, {}), **values}))
    await calls.set_profile(door.gate, token=door.token, organisation=organisation, name=arguments.name, body=body)
    return 0
