"""Why: the steps of a decision, as ids, digests, levels and closed words; printed by ``explain`` and ``queue show``.

Guarantees
    A step holds no message text and no secret: addresses as they stand in the envelope, setting names and values,
    SHA-256 digests of certificates, entries of the trust list, names of authorities, words of WHAT. Who reads the trace
    learns nothing of the content.

Order
    Steps of the whole message come first, then those of each recipient in envelope order.

See also
    ``plan.Plan.trace``; flow stores encode() sealed under the message's key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from letterlock.decision.known import Lack
from letterlock.pki.reasons import Reason
from letterlock.pki.select import Candidate, Selection
from letterlock.policy.effective import Combined
from letterlock.policy.settings import smime
from letterlock.policy.settings.declare import Effective, Setting

WHAT: Final = {
    "direction": "direction: {outcome}",
    "trigger": "a trigger asks: {outcome}",
    "challenge": "a challenge of an ACME server: {outcome}",
    "findings": "the rules ask: {outcome}",
    "report": "a report {outcome}",
    "client": "the sender's own program has protected it: {outcome}",
    "mode": "encryption: {outcome}",
    "method": "method {outcome}",
    "chosen": "encrypted to",
    "additional": "encrypted to the additional certificate",
    "apart": "additional certificate left out, its key is of another kind than the recipient's",
    "rejected": "certificate not used: {outcome}",
    "unsure": "not known whether revoked: {outcome}",
    "revocation": "what is not known to be good is {outcome}",
    "lacking": "not at hand when this was decided: {outcome}",
    "missing": "no usable additional certificate of {outcome}",
    "sign": "signature: {outcome}",
    "signer": "signed with",
    "form": "in this form: {outcome}",
    "signatures": "good signatures: {outcome}",
    "header": "header fields: {outcome}",
    "tls": "least TLS: {outcome}",
    "route": "next hop: {outcome}",
    "hidden": "named neither in To nor Cc: {outcome}",
    "entitled": "gets {outcome}",
    "layer": "layer {outcome}",
    "marks": "marked: {outcome}",
    "deliver": "delivered as {outcome}",
    "hold": "held: {outcome}",
    "refuse": "refused: {outcome}",
    "notice": "the sender is told: {outcome}",
}
"""The closed list of steps and how a person reads them."""


class Step(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One step. ``about``: the recipient, empty for the whole message; ``setting`` and so on: which setting decided."""

    what: str
    outcome: str = ""
    about: str = ""
    setting: str = ""
    value: str = ""
    level: str = ""
    origin: str = ""
    digests: tuple[str, ...] = ()


class Trace(msgspec.Struct, frozen=True, array_like=True):
    """The steps of one decision. ``at``: seconds since the Unix epoch; ``revision``: of the policy it was made
    under."""

    steps: tuple[Step, ...] = ()
    revision: int = 0
    at: float = 0.0
    version: int = 1


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Trace)


def encode(trace: Trace) -> bytes:
    """MessagePack; read back by decode()."""
    return _encoder.encode(trace)


def decode(octets: bytes) -> Trace:
    """The Trace of encode(). Raises msgspec.DecodeError when the octets are not one."""
    return _decoder.decode(octets)


def by_setting(
    what: str, outcome: str, about: str, setting: Setting[Any], found: Effective[Any] | Combined[Any]
) -> Step:
    """A step that one setting decided, with the value, level and origin it has."""
    source = found.source if isinstance(found, Combined) else found
    value = setting.kind.show(source.value)
    return Step(what, outcome, about, setting.name, value, source.level, source.origin)


def certificates(what: str, about: str, chosen: Iterable[Candidate]) -> Iterator[Step]:
    """One step for each chosen certificate."""
    for each in chosen:
        yield Step(what, about=about, digests=(each.certificate.thumbprint.hex(),))


def rejections(about: str, *selections: Selection) -> Iterator[Step]:
    """One step for each certificate that is not used, with every rule it fails."""
    for selection in selections:
        for each in selection.rejected:
            digest = each.candidate.certificate.thumbprint.hex()
            outcome = ", ".join(str(reason) for reason in each.reasons)
            if _EXPLAINED.intersection(each.reasons):
                outcome = f"{outcome} ({each.detail})"
            yield Step("rejected", outcome, about, digests=(digest,))


def doubts(about: str, setting: Effective[Any] | Combined[Any], *selections: Selection) -> Iterator[Step]:
    """One step for each certificate of which it is not known whether it has been revoked, and one that says what becomes
    of them. ``setting``: smime_revocation as it holds here."""
    unsure = [each for selection in selections for each in selection.unsure]
    refused = any(Reason.REVOCATION_UNKNOWN in each.reasons for selection in selections for each in selection.rejected)
    for each in unsure:
        yield Step("unsure", each.detail, about, digests=(each.candidate.certificate.thumbprint.hex(),))
    if unsure or refused:
        yield by_setting("revocation", "refused" if refused else "accepted", about, smime.SMIME_REVOCATION, setting)


_EXPLAINED: Final = frozenset({Reason.FORBIDDEN, Reason.REVOKED, Reason.REVOCATION_UNKNOWN})
"""Where the detail names the entry of the trust list, or the CRL."""


def lacks(about: str, lacking: Iterable[Lack]) -> Iterator[Step]:
    """One step for each thing that was not at hand."""
    for each in lacking:
        yield Step("lacking", each.what, about)


def answered_challenge(address: str) -> Step:
    """The one step of a challenge mail, which nobody decides about: flow answered it for its recipient."""
    return Step("challenge", "answered in the recipient's name", address)


def sentence(step: Step) -> str:
    """One step in words."""
    text = WHAT.get(step.what, f"{step.what}: {{outcome}}").format(outcome=step.outcome)
    if step.digests:
        text = f"{text} ({', '.join(digest[:16] for digest in step.digests)})"
    if step.setting:
        where = f"{step.level} {step.origin}".strip()
        text = f"{text}, because {step.setting} = {step.value or 'nothing'} ({where})"
    return text


def render(trace: Trace) -> list[str]:
    """The trace as lines for a person: the message's steps, then each recipient's under its address."""
    at = datetime.fromtimestamp(trace.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    lines = [f"decided {at}" + (f" under policy revision {trace.revision}" if trace.revision else "")]
    lines += [f"  {sentence(step)}" for step in trace.steps if not step.about]
    for address in dict.fromkeys(step.about for step in trace.steps if step.about):
        lines.append(address)
        lines += [f"  {sentence(step)}" for step in trace.steps if step.about == address]
    return lines
