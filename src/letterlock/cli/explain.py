"""``letterlock explain``: what would be decided about a message, and why, without sending it.

Guarantees
    The same facts and the same decision as in flow, but for what only flow sees: nothing is decrypted and no signature is
    verified here, and the explanation says which of it was not looked at. Private keys are used for a recipient of a leased
    message only; to use them for any file an administrator brings would make this command a decryption oracle.
    Nothing is stored, sent, notified or fetched: revocation is judged by what is at hand.
    Exit code 0 when every recipient would get the message, 1 when one would be held or refused.

See also
    ``decision/``; ``letterlock queue show --trace`` for decisions that were made.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from letterlock.cli import show
from letterlock.cli.connect import Door
from letterlock.decision import trace
from letterlock.decision.decide import decide
from letterlock.decision.facts import Gatherer, Reads
from letterlock.decision.known import Facts, Findings, Layer, MessageFacts, Opened, Queued
from letterlock.decision.message import message_facts
from letterlock.decision.plan import Plan
from letterlock.errors import UsageError
from letterlock.mail import received
from letterlock.mail.address import Address, AddressInvalid
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.pki import calls as pki
from letterlock.pki.at_hand import AtHand
from letterlock.policy import calls as policy
from letterlock.smime.peel import whole


def add_parser(subparsers: Any) -> None:
    """``explain FILE --from A --to B...``."""
    parser = subparsers.add_parser("explain", help="what would be decided about a message, without sending it")
    parser.add_argument("file", metavar="FILE", help="a message (.eml); - for standard input")
    parser.add_argument("--from", dest="sender", metavar="A", required=True, help="envelope sender; <> for none")
    parser.add_argument("--to", dest="recipients", metavar="B", required=True, nargs="+", help="envelope recipients")
    parser.add_argument(
        "--origin",
        choices=("submission", "internet"),
        help="how it would come (submission when the sender is internal)",
    )
    show.add_json(parser)


async def run(arguments: argparse.Namespace, door: Door) -> int:
    """Gather, decide, print."""
    octets = _read(arguments.file)
    sender = "" if arguments.sender in ("", "<>") else _address(arguments.sender)
    recipients = tuple(dict.fromkeys(_address(each) for each in arguments.recipients))
    message, opened = look(octets)
    envelope = Envelope(sender=sender, recipients=tuple(Recipient(each) for each in recipients))
    facts = await _gather(door, envelope, recipients, message)
    if (arguments.origin or ("submission" if facts.sender.internal else "internet")) == "internet":
        envelope = Envelope(sender=sender, recipients=envelope.recipients, origin="internet")
    plan = decide(envelope, opened, Findings(), facts)
    internal = any(each.internal for each in facts.recipients.values())
    _print(plan, unseen(message, opened) if internal else "", as_json=arguments.json)
    return 1 if plan.holds or plan.refusals else 0


def _read(file: str) -> bytes:
    """The message. Raises UsageError."""
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as fault:
        raise UsageError(f"{show.safe(file)} cannot be read: {fault.strerror}.") from None


def _address(text: str) -> str:
    """An address in our form. Raises UsageError."""
    try:
        return str(Address.parse(text.removeprefix("<").removesuffix(">")))
    except AddressInvalid:
        raise UsageError(f"{show.safe(text)} is not a valid e-mail address.") from None


def look(octets: bytes) -> tuple[MessageFacts, Opened]:
    """The facts of a message, and its outermost layer as far as it can be told without a key."""
    message = Message(octets)
    part = Part(octets)
    layer = whole(part)
    outermost = layer.kind if layer is not None else None
    facts = message_facts(
        message,
        len(octets),
        protected=outermost if outermost in ("signed", "encrypted") else "none",
        calendar=any(each.content_type.value == "text/calendar" for each in part.walk()),
        hops=received.hop_count(message),
    )
    closed = (Layer("encrypted", opened=False, reason="not opened by explain"),) if outermost == "encrypted" else ()
    return facts, Opened(closed)


def unseen(message: MessageFacts, opened: Opened) -> str:
    """What flow would find out of a message to internal recipients, and was not looked at here; empty: nothing."""
    if opened.layers:
        return (
            "The inside of this encrypted message was not looked at: keys are used only for mail that was accepted. "
            "What is signed, marked or tagged in it, and whether it opens, is not part of this explanation."
        )
    if message.protected == "signed":
        return "The signature of this message was not verified: its mark and tag are not part of this explanation."
    return ""


async def _gather(door: Door, envelope: Envelope, recipients: tuple[str, ...], message: MessageFacts) -> Facts:
    """Facts read with the caller's token."""
    gate, token = door.gate, door.token
    domains = [(row.name, row.internal, row.organisation) for row in await policy.domains_list(gate, token=token)]

    async def known_domains() -> list[Any]:
        return domains

    reads = Reads(
        settings=lambda addresses: policy.explain(gate, token=token, addresses=addresses),
        domains=known_domains,
        candidates=lambda addresses: pki.explain_candidates(gate, token=token, addresses=addresses),
        authorities=lambda: pki.explain_authorities(gate, token=token),
        ctl_entries=lambda: pki.explain_ctl_entries(gate, token=token),
        at_hand=AtHand(
            partial(pki.explain_crls, gate, token=token), partial(pki.explain_ocsp_answers, gate, token=token)
        ),
    )
    now = time.time()
    return await Gatherer(reads).gather(envelope, recipients, message, Queued(now, now), 0)


def _print(plan: Plan, not_seen: str, *, as_json: bool) -> None:
    """The trace for a person, or all of the plan for a program; with what was not looked at."""
    if as_json:
        show.print_json({**as_plain(plan), "unseen": not_seen})
        return
    for line in trace.render(plan.trace):
        print(show.safe(line))
    if not_seen:
        print(not_seen)


def as_plain(plan: Plan) -> dict[str, Any]:
    """A plan as JSON: certificates by their thumbprints."""
    return {
        "deliveries": [
            {
                "recipients": each.recipients,
                "method": each.method,
                "direction": each.direction,
                "encrypted": each.encrypts,
                "cipher": each.cipher,
                "transport": each.transport,
                "signed": each.signer is not None,
                "by_client": each.by_client,
                "header": each.header,
                "certificates": [one.certificate.thumbprint.hex() for one in each.certificates],
                "domain": each.domain,
                "next_hop": each.next_hop,
                "tls_min": each.tls_min,
            }
            for each in plan.deliveries
        ],
        "holds": [{"recipients": each.recipients, "reason": each.reason} for each in plan.holds],
        "refusals": [
            {"recipients": each.recipients, "reason": each.reason, "status": each.status, "text": each.text}
            for each in plan.refusals
        ],
        "notices": [{"kind": each.kind, "to": each.to, "about": each.about} for each in plan.notices],
        "trace": [
            {name: value for name in step.__struct_fields__ if (value := getattr(step, name))}
            for step in plan.trace.steps
        ],
    }
