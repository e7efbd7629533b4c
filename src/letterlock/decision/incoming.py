"""The policy for internal recipients: who gets the opened message, who the original, and how either is marked.

Order
    For each recipient: loop, entitled to what was opened or not, marks; recipients whose octets are the same become one
    delivery (behaviour 1.4, part 3).

Guarantees
    Pure. With smime_strict a recipient gets opened octets only when every encrypted layer that was opened was
    addressed to it, or to its domain's certificate (with smime_domain_key_named: and it stands in To or Cc); else the
    original octets. Marks of ours that came in are always removed.

See also
    ``marking.py`` for tags and fields; flow's mark, which writes them.
"""

from __future__ import annotations

from letterlock.decision import marking, trace
from letterlock.decision.known import AUTHORITY, Facts, Findings, Opened, RecipientFacts
from letterlock.decision.notices import Notices, refuse_loop
from letterlock.decision.plan import Addressee, Delivery, Plan, Refusal, shared
from letterlock.decision.trace import Step, Trace
from letterlock.mail.envelope import Envelope
from letterlock.pki.certificate import match_form
from letterlock.policy.settings import ALL, lifetime, mail, smime


def decide(envelope: Envelope, opened: Opened, findings: Findings, facts: Facts) -> Plan:
    """The plan for the internal ones among ``facts.recipients``. Raises PlanUnlawful."""
    internal = [recipient for recipient in facts.recipients.values() if recipient.internal]
    if not internal:
        return Plan(recipients=())
    steps = [_layer(number, opened) for number in range(len(opened.layers))]
    steps.extend(trace.lacks("", facts.lacking))
    groups: dict[tuple[object, ...], list[Addressee]] = {}
    shapes: dict[tuple[object, ...], Delivery] = {}
    refusals: list[Refusal] = []
    for recipient in internal:
        steps.append(trace.by_setting("direction", "incoming", recipient.address, mail.LOCALITY, recipient.locality))
        looped = refuse_loop(facts, recipient)
        if looped is not None:
            steps.append(Step("refuse", "loop", recipient.address))
            refusals.append(looped)
            continue
        shape = _shape(opened, facts, recipient, steps)
        hidden = match_form(recipient.address) not in facts.message.named
        key = (shape.content, shape.marks, recipient.terms.incoming, shape.tls_min, hidden)
        groups.setdefault(key, []).extend(shape.addressees)
        shapes.setdefault(key, shape)
    deliveries = [each for key, those in groups.items() for each in shared(shapes[key], those)]
    notices = Notices(envelope, facts).made((), refusals)
    steps.extend(Step("notice", notice.kind, about) for notice in notices for about in notice.about)
    return Plan(
        recipients=tuple(recipient.address for recipient in internal),
        deliveries=tuple(deliveries),
        refusals=tuple(refusals),
        notices=notices,
        trace=Trace(tuple(steps), facts.revision, facts.queued.now),
    )


def _shape(opened: Opened, facts: Facts, recipient: RecipientFacts, steps: list[Step]) -> Delivery:
    """The delivery of one recipient, with its steps."""
    about, settings, route = recipient.address, recipient.settings, recipient.terms.incoming
    entitled = is_entitled(recipient, opened, facts.message.named)
    if opened.changed:
        strict = settings.effective(smime.SMIME_STRICT)
        what = "the opened message" if entitled else "the message as it came: not encrypted to this recipient"
        steps.append(trace.by_setting("entitled", what, about, smime.SMIME_STRICT, strict))
    made = marking.marks(opened, settings, entitled=entitled)
    if made.tags:
        steps.append(Step("marks", " ".join(made.tags), about))
    tls = recipient.terms.tls
    steps.append(Step("route", route.next_hop or f"the mail exchangers of {route.domain}", about))
    steps.append(trace.by_setting("tls", tls.value, about, ALL["tls_out"], tls))
    opening = opened.changed and entitled
    steps.append(Step("deliver", "opened" if opening else "it came", about))
    life, delay = (facts.sender.settings.value(each) for each in (lifetime.QUEUE_LIFE, lifetime.DELAY_NOTICE_AFTER))
    started = facts.queued.now if facts.queued.released or facts.queued.state == "held" else facts.queued.accepted_at
    return Delivery(
        method="plain",
        direction="incoming",
        addressees=(Addressee(about),),
        domain=route.domain,
        next_hop=route.next_hop,
        tls_min=recipient.terms.tls_min,
        expires_at=started + life.total_seconds(),
        delay_notice_at=started + delay.total_seconds() if delay else 0.0,
        content="opened" if opening else "original",
        marks=made,
    )


def is_entitled(recipient: RecipientFacts, opened: Opened, named: frozenset[str]) -> bool:
    """Whether the recipient may read what was opened. ``named``: the addresses in To and Cc, in match form."""
    if not recipient.settings.value(smime.SMIME_STRICT):
        return True
    address = match_form(recipient.address)
    domain = address.rpartition("@")[2]
    own = {address}
    if address in named or not recipient.settings.value(smime.SMIME_DOMAIN_KEY_NAMED):
        own |= {f"@{domain}", f"{AUTHORITY}@{domain}"}
    layers = [layer for layer in opened.layers if layer.kind == "encrypted" and layer.opened]
    return all(own.intersection(match_form(each) or each for each in layer.holders) for layer in layers)


def _layer(number: int, opened: Opened) -> Step:
    """The step that tells of one layer: what it was, whether it could be read, what was wrong with it."""
    layer = opened.layers[number]
    words = [f"{number}: {layer.kind}", layer.cipher, *(f"signature {signer.verdict}" for signer in layer.signers)]
    words.append("" if layer.opened else f"not opened, {layer.reason}")
    words.append("weak" if layer.weak else "")
    return Step("layer", ", ".join(word for word in words if word))
