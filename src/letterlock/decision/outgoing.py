"""The policy for external recipients, top to bottom: what must be protected, by what, signed or not, or not sent.

Order
    For the message: triggers, who may sign. For each recipient: loop, already encrypted by the sender's program,
    required mode, method, signature; then recipients whose octets are the same become one delivery (behaviour 1.4,
    part 4).

Guarantees
    Pure: no clock, no reader. Required modes are none < allow < mandatory; the strictest of sender, recipient, trigger
    and findings wins, and ``none`` on either side turns allow into none. Mandatory without a usable method holds the
    recipient and tells the sender at once; at the end of hold_life it is bounced. Nobody outside is told of a hold.

See also
    ``choose.py`` (methods), ``plan.py`` (what cannot be expressed), ``incoming.py`` (internal recipients).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from letterlock.decision import anew, choose, trace
from letterlock.decision.header import protected_header
from letterlock.decision.known import Facts, Findings, MessageFacts, Opened, RecipientFacts
from letterlock.decision.notices import Notices, refuse_loop
from letterlock.decision.plan import Addressee, Delivery, Edits, Hold, HoldReason, Plan, Refusal, shared
from letterlock.decision.terms import Mode
from letterlock.decision.trace import Step, Trace
from letterlock.mail.envelope import Envelope
from letterlock.pki.certificate import match_form
from letterlock.pki.select import Candidate
from letterlock.policy import triggers
from letterlock.policy.effective import Combined
from letterlock.policy.settings import ALL, encryption, lifetime, mail, smime

BLIND: Final = ("bcc", "resent-bcc")
"""Fields that never leave (RFC 5322 3.6.3)."""


@dataclass(slots=True)
class _Making:
    """A plan in the making. ``unsigned``: why this message may not be signed; empty: it may. ``anew``: the same plan for
    recipients for whom it is encrypted anew, where the sender's program has encrypted it and it was opened."""

    envelope: Envelope
    findings: Findings
    facts: Facts
    asked: triggers.Evaluation
    unsigned: str
    edits: Edits
    notices: Notices
    steps: list[Step] = field(default_factory=list)
    groups: dict[tuple[object, ...], list[Addressee]] = field(default_factory=dict)
    shapes: dict[tuple[object, ...], Delivery] = field(default_factory=dict)
    holds: dict[HoldReason, list[str]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    encrypted: list[str] = field(default_factory=list)
    content: Literal["original", "inside"] = "original"
    anew: _Making | None = None


def decide(envelope: Envelope, opened: Opened, findings: Findings, facts: Facts) -> Plan:
    """The plan for the external ones among ``facts.recipients``; ``opened`` is not looked at. Raises PlanUnlawful."""
    external = [recipient for recipient in facts.recipients.values() if not recipient.internal]
    if not external:
        return Plan(recipients=())
    making = _Making(envelope, findings, facts, *_asked(envelope, facts), Notices(envelope, facts))
    inside = anew.facts_inside(facts)
    if inside is not None:
        asked, unsigned, edits = _asked(envelope, inside)
        making.anew = replace(
            making, facts=inside, asked=asked, unsigned=unsigned, edits=edits, content="inside"
        )  # what it makes is put to the rest
    _explain_message(making)
    for recipient in external:
        _place(making, recipient)
    return _plan(making, tuple(recipient.address for recipient in external))


def _asked(envelope: Envelope, facts: Facts) -> tuple[triggers.Evaluation, str, Edits]:
    """What triggers ask, why it may not be signed, and what changes in the header."""
    asked = triggers.evaluate(facts.message.fields, facts.sender.settings)
    edits = Edits(remove=(*BLIND, *asked.remove_fields), subjects=asked.subjects)
    return asked, _why_unsigned(envelope, facts), edits


ROBOTS: Final = frozenset({"mailer-daemon", "postmaster", "mail-daemon", "double-bounce"})
"""Local parts in whose name mail systems write; a person who passes a report on does so himself."""


def is_inside_report(envelope: Envelope, message: MessageFacts) -> bool:
    """A bounce or the like of a server inside: it may quote what was decrypted, so it leaves without content (design 5)."""
    robot = not envelope.sender or (envelope.sender.partition("@")[0].lower() in ROBOTS and message.report)
    return envelope.origin == "submission" and robot


def _is_report(envelope: Envelope, message: MessageFacts) -> bool:
    """A report of ours, or of a server inside: nothing of a message's content is in either."""
    return not envelope.sender and (envelope.origin == "notice" or is_inside_report(envelope, message))


def _why_unsigned(envelope: Envelope, facts: Facts) -> str:
    """Why the message may not be signed in its sender's name (design 7); empty: it may."""
    message = facts.message
    if message.protected == "signed":
        return "signed by the sender's own program"
    if envelope.origin != "submission":
        return "not submitted by one of our own"
    if message.inbound_mark:
        return "it came in from outside before"
    if len(message.authors) != 1:
        return f"From holds {len(message.authors)} addresses"
    sender = match_form(envelope.sender)
    if not sender or match_form(message.authors[0]) != sender:
        return "From is not the envelope sender"
    if not facts.sender.signers.chosen:
        return "no valid signing certificate"
    return ""


def _explain_message(making: _Making) -> None:
    """The steps that concern all external recipients."""
    steps, sender = making.steps, making.facts.sender
    for match in (making.anew or making).asked.matches:
        found = sender.settings.named(match.setting)
        where = f"at the subject's {match.where}" if match.where in ("start", "end") else f"by field {match.where}"
        steps.append(trace.by_setting("trigger", f"{match.asks}, {where}", "", ALL[match.setting], found))
    if making.facts.message.protected != "none":
        steps.append(Step("client", making.facts.message.protected))
    if making.findings.must_encrypt:
        steps.append(Step("findings", "encrypt"))
    if is_inside_report(making.envelope, making.facts.message):
        steps.append(Step("report", "made inside: leaves without content"))
    steps.extend(trace.lacks("", (*making.facts.lacking, *sender.lacking)))
    steps.extend(trace.rejections("", sender.signers))


def _place(making: _Making, recipient: RecipientFacts) -> None:
    """Decide on one recipient: into a group, a hold or a refusal."""
    facts = making.facts
    making.steps.append(trace.by_setting("direction", "outgoing", recipient.address, mail.LOCALITY, recipient.locality))
    making.steps.extend(trace.lacks(recipient.address, recipient.lacking))
    looped = refuse_loop(facts, recipient)
    if looped is not None:
        making.steps.append(Step("refuse", "loop", recipient.address))
        making.refusals.append(looped)
        return
    required = _required(making, recipient)
    if facts.message.protected == "encrypted":
        _pass_encrypted(making, recipient, required)
        return
    if required == "none":
        _group(making, recipient, required, None)
        return
    choice = choose.choose(recipient, required, facts.message)
    _explain_choice(making, recipient, choice)
    if choice.method or required == "allow":
        _group(making, recipient, required, choice if choice.method else None)
    else:
        _hold(making, recipient, "no-method")


def _required(making: _Making, recipient: RecipientFacts) -> Mode:
    """The mode required for one recipient, with its step."""
    terms, asked, about = recipient.terms, making.asked, recipient.address
    mode = terms.asked
    if about in making.facts.queued.mandatory:
        mode = "mandatory"
        making.steps.append(Step("mode", "mandatory, as decided when it was held", about))
    elif mode == "mandatory":
        making.steps.append(trace.by_setting("mode", mode, about, encryption.ENCRYPT_MODE, terms.mode))
    elif asked.asks("encrypt"):
        mode = "mandatory"
        making.steps.append(Step("mode", "mandatory, by trigger", about))
    elif making.findings.must_encrypt:
        mode = "mandatory"
        making.steps.append(Step("mode", "mandatory, by the rules", about))
    elif mode == "allow" and _is_report(making.envelope, making.facts.message):
        mode = "none"  # a mail system reads it, too (RFC 3464 2.1), and it quotes nothing but what came from outside
        making.steps.append(Step("mode", "none, a report", about))
    elif mode == "allow" and asked.asks("no-encrypt") and making.envelope.origin == "submission":
        mode = "none"
        making.steps.append(Step("mode", "none, by trigger", about))
    else:
        making.steps.append(trace.by_setting("mode", mode, about, encryption.ENCRYPT_MODE, terms.mode))
    return mode


def _explain_choice(making: _Making, recipient: RecipientFacts, choice: choose.Choice) -> None:
    """The steps of choosing: methods that failed, certificates chosen and why not the others."""
    about = recipient.address
    found: dict[str, Combined[Any]] = {
        "smime_enabled": recipient.terms.smime,
        "smime_max_size": recipient.terms.max_size,
    }
    for tried in choice.tried:
        outcome = f"{tried.method}: {tried.reason}"
        if tried.setting:
            combined = found.get(tried.setting, recipient.terms.skip_calendar)
            making.steps.append(trace.by_setting("method", outcome, about, ALL[tried.setting], combined))
        else:
            making.steps.append(Step("method", outcome, about))
    if choice.method:
        making.steps.append(
            trace.by_setting(
                "method", f"{choice.method}: used", about, encryption.METHOD_ORDER, recipient.terms.methods
            )
        )
        making.steps.extend(Step("missing", address, about) for address in recipient.missing)
    making.steps.extend(trace.rejections(about, recipient.personal, recipient.domain_wide, recipient.additional))


def _pass_encrypted(making: _Making, recipient: RecipientFacts, required: Mode) -> None:
    """What the sender's program has encrypted already: encrypt anew, pass, hold or refuse."""
    found = making.facts.sender.settings.effective(encryption.CLIENT_ENCRYPTED)
    action = found.value.removeprefix("open-or-")
    if found.value != action and _encrypt_anew(making, recipient):
        return
    if making.facts.queued.released and action == "hold":
        action = "pass"
    making.steps.append(trace.by_setting("client", action, recipient.address, encryption.CLIENT_ENCRYPTED, found))
    if action == "pass":
        _group(making, recipient, required, None, by_client=True)
    elif action == "hold":
        _hold(making, recipient, "client-encrypted")
    else:
        making.refusals.append(
            Refusal((recipient.address,), "client-encrypted", "5.7.1", "Mail encrypted by the sender is not accepted.")
        )
        making.steps.append(Step("refuse", "client-encrypted", recipient.address))


def _encrypt_anew(making: _Making, recipient: RecipientFacts) -> bool:
    """Encrypt what was opened anew for this recipient; False, with the step that says why: it cannot be."""
    about, inside = recipient.address, making.facts.inside
    named = anew.as_named(recipient, inside) if making.anew and inside else None
    choice = choose.choose(named, "mandatory", making.anew.facts.message) if making.anew and named else None
    if making.anew is None or named is None or choice is None or not choice.method:
        why = anew.why_not(making.facts) if making.anew is None else anew.NOT_NAMED
        if choice is not None:
            _explain_choice(making, recipient, choice)
            why = "no method"
        making.steps.append(Step("client", f"not encrypted anew: {why}", about))
        return False
    setting = making.facts.sender.settings.effective(encryption.CLIENT_ENCRYPTED)
    making.steps.append(
        trace.by_setting("client", "opened, and encrypted anew", about, encryption.CLIENT_ENCRYPTED, setting)
    )
    if making.anew.facts.message.protected == "signed":
        making.steps.append(Step("client", "signed inside, and the signature kept", about))
    _explain_choice(making, named, choice)
    _group(making.anew, named, "mandatory", choice)
    return True


def _hold(making: _Making, recipient: RecipientFacts, reason: HoldReason) -> None:
    """Hold a recipient; at the end of hold_life give it up."""
    life = making.facts.sender.settings.effective(lifetime.HOLD_LIFE)
    queued, about = making.facts.queued, recipient.address
    if queued.now < queued.accepted_at + life.value.total_seconds():
        making.holds.setdefault(reason, []).append(about)
        making.steps.append(trace.by_setting("hold", reason, about, lifetime.HOLD_LIFE, life))
        return
    text = "The message was held and could not be sent in time."
    if reason == "no-method":
        text = "The message must be encrypted, and no way to encrypt it for this recipient was found in time."
    making.refusals.append(Refusal((about,), reason, "5.7.5", text, "failed"))
    making.steps.append(trace.by_setting("refuse", f"{reason}, hold_life is over", about, lifetime.HOLD_LIFE, life))


def _signer(making: _Making, recipient: RecipientFacts, *, encrypting: bool) -> Candidate | None:
    """Who signs for this recipient, with the step that says why or why not."""
    settings, terms, about = making.facts.sender.settings, recipient.terms, recipient.address
    always, with_encryption = smime.SMIME_SIGN, smime.SMIME_ONLY_SIGN_WHEN_ENCRYPT
    if making.asked.asks("sign"):
        asked = Step("sign", "yes, by trigger", about)
    elif settings.value(always):
        asked = trace.by_setting("sign", "yes", about, always, settings.effective(always))
    elif encrypting and settings.value(with_encryption):
        asked = trace.by_setting("sign", "yes", about, with_encryption, settings.effective(with_encryption))
    else:
        making.steps.append(trace.by_setting("sign", "no", about, always, settings.effective(always)))
        return None
    message = making.facts.message
    if not terms.smime.value:
        refused = trace.by_setting("sign", "no", about, smime.SMIME_ENABLED, terms.smime)
    elif message.octets > terms.max_size.value:
        refused = trace.by_setting("sign", "no, too large", about, smime.SMIME_MAX_SIZE, terms.max_size)
    elif message.calendar and terms.skip_sign_calendar.value:
        skip = smime.SMIME_SKIP_SIGN_CALENDAR
        refused = trace.by_setting("sign", "no, calendar", about, skip, terms.skip_sign_calendar)
    elif making.unsigned:
        refused = Step("sign", f"no, {making.unsigned}", about)
    else:
        making.steps.append(asked)
        making.steps.extend(trace.certificates("signer", about, making.facts.sender.signers.chosen))
        return making.facts.sender.signers.chosen[0]
    making.steps.append(refused)
    return None


def _group(
    making: _Making, recipient: RecipientFacts, required: Mode, choice: choose.Choice | None, *, by_client: bool = False
) -> None:
    """Put a recipient to those whose finished octets, next hop and TLS are the same."""
    facts, terms, address = making.facts, recipient.terms, recipient.address
    signer = None if by_client else _signer(making, recipient, encrypting=choice is not None)
    how = choose.protection(choice.certificates, recipient.additional.chosen, terms) if choice else None
    report = is_inside_report(making.envelope, facts.message)
    asked = terms.header if how or signer else None
    encrypting = how is not None
    header, steps = protected_header(
        asked, address, facts.message, report=report, encrypting=encrypting, safe=encrypting
    )
    making.steps.extend(steps)
    hidden = match_form(address) not in facts.message.named
    route = terms.outgoing
    life, delay = (facts.sender.settings.value(each) for each in (lifetime.QUEUE_LIFE, lifetime.DELAY_NOTICE_AFTER))
    started = facts.queued.now if facts.queued.released or facts.queued.state == "held" else facts.queued.accepted_at
    addressee = Addressee(address, required, how.certificates if how else ())
    shape = Delivery(
        method="smime" if how or signer or by_client else "plain",
        direction="outgoing",
        addressees=(addressee,),
        domain=route.domain,
        next_hop=route.next_hop,
        tls_min=terms.tls_min,
        expires_at=started + life.total_seconds(),
        delay_notice_at=started + delay.total_seconds() if delay else 0.0,
        content="reduced" if report else making.content,
        edits=making.edits,
        signer=signer,
        additional=how.additional if how else (),
        transport=how.transport if how else "",
        cipher=how.cipher if how else "",
        by_client=by_client,
        hidden=hidden,
        header=header,
        display=header == "hide" and terms.display.value,
    )
    # A hidden recipient's recipient info would tell the others of it: it gets a CMS of its own (design 7).
    alone = address if hidden and how else ""
    extra = frozenset(each.certificate.thumbprint for each in shape.additional)
    key = (
        *(shape.method, shape.content, route, shape.tls_min, signer is None, shape.transport, shape.cipher, extra),
        *(hidden, alone, header, shape.display),
    )
    making.groups.setdefault(key, []).append(addressee)
    making.shapes.setdefault(key, shape)
    if how:
        making.encrypted.append(address)
        making.steps.extend(trace.certificates("chosen", address, how.certificates))
        making.steps.extend(trace.certificates("additional", address, how.additional))
        making.steps.extend(trace.certificates("apart", address, how.apart))
    _explain_group(making, recipient, shape)


def _explain_group(making: _Making, recipient: RecipientFacts, shape: Delivery) -> None:
    """How and where to a recipient's delivery goes."""
    about, terms = recipient.address, recipient.terms
    if shape.hidden:
        making.steps.append(Step("hidden", "a message of its own" if shape.cipher else "apart from the others", about))
    making.steps.append(Step("route", shape.next_hop or f"the mail exchangers of {shape.domain}", about))
    making.steps.append(trace.by_setting("tls", terms.tls.value, about, ALL["tls_out"], terms.tls))
    done = [word for word, so in (("signed", shape.signer), ("encrypted", shape.cipher)) if so]
    words = "encrypted by its sender" if shape.by_client else " and ".join(done) or "plain"
    making.steps.append(
        Step("deliver", f"{words} ({shape.cipher}, {shape.transport})" if shape.cipher else words, about)
    )


def _plan(making: _Making, recipients: tuple[str, ...]) -> Plan:
    """Groups, holds and refusals as a Plan, with what the sender is told."""
    facts = making.facts
    deliveries = [each for key, those in making.groups.items() for each in shared(making.shapes[key], those)]
    until = facts.queued.accepted_at + facts.sender.settings.value(lifetime.HOLD_LIFE).total_seconds()
    holds = tuple(Hold(tuple(addresses), reason, until) for reason, addresses in making.holds.items())
    refusals = tuple(making.refusals)
    notices = making.notices.made(holds, refusals, tuple(making.encrypted))
    making.steps.extend(Step("notice", notice.kind, about) for notice in notices for about in notice.about)
    return Plan(
        recipients=recipients,
        deliveries=tuple(deliveries),
        holds=holds,
        refusals=refusals,
        notices=notices,
        trace=Trace(tuple(making.steps), facts.revision, facts.queued.now),
    )
