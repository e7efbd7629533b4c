"""What Hypothesis makes up: senders, recipients, messages and places in the queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from letterlock.decision.known import Facts, Findings, Inside, Layer, Opened, RecipientFacts, Signer
from letterlock.mail.envelope import Envelope, Recipient
from letterlock.pki.reasons import Reason
from letterlock.pki.select import Selection
from letterlock.policy.settings.declare import Effective
from tests.fakes.facts import DAY, NOW, envelope, facts, message, recipient, rejected, sender, usable

DOMAINS = ("partner.example", "elsewhere.example", "inside.example")
ADDRESSES = tuple(f"{name}@{domain}" for name in ("ann", "bob", "carl", "dora") for domain in DOMAINS)
_ORDERS = (["smime", "smime-domain", "pdf", "portal"], ["smime-domain", "smime"], ["pdf", "smime"], [])
MODES = st.sampled_from(("none", "allow", "mandatory"))


class Case(NamedTuple):
    """Everything decide() takes."""

    envelope: Envelope
    opened: Opened
    findings: Findings
    facts: Facts


_SETTINGS: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        "encrypt_mode": MODES,
        "smime_enabled": st.booleans(),
        "smime_sign": st.booleans(),
        "smime_only_sign_when_encrypt": st.booleans(),
        "smime_max_size": st.sampled_from((0, 5_000, 50_000)),
        "smime_skip_calendar": st.booleans(),
        "smime_skip_sign_calendar": st.booleans(),
        "smime_encryption_alg": st.sampled_from(("auto", "aes128-cbc", "aes256-gcm")),
        "smime_strict": st.booleans(),
        "smime_header_protection": st.sampled_from(("none", "copy", "hide")),
        "smime_legacy_display": st.booleans(),
        "client_encrypted": st.sampled_from(
            ("pass", "hold", "refuse", "open-or-pass", "open-or-hold", "open-or-refuse")
        ),
        "encryption_notification": st.booleans(),
        "encryption_failed_notification": st.booleans(),
        "no_encrypt_trigger_enabled": st.booleans(),
        "sign_subject_trigger_enabled": st.booleans(),
        "tls_out": st.sampled_from(("none", "may", "encrypt", "verify")),
        "method_order": st.sampled_from(_ORDERS),
        "next_hop_outgoing": st.sampled_from(("", "[smart.example]:25")),
    },
)

_CERTIFICATES: st.SearchStrategy[Callable[[str], Selection | None]] = st.sampled_from(
    (
        lambda address: None,
        lambda address: rejected(address, Reason.EXPIRED),
        lambda address: usable(address),
        lambda address: usable(address, count=2),
        lambda address: usable(address, kind="ec"),
    )
)
"""What is stored for an address: nothing, an expired one, one, two, or one of another family."""

_LAYERS = st.lists(
    st.builds(
        Layer,
        kind=st.sampled_from(("encrypted", "signed")),
        opened=st.booleans(),
        cipher=st.sampled_from(("", "aes256-cbc")),
        holders=st.lists(st.sampled_from(ADDRESSES), max_size=2).map(tuple),
        signers=st.lists(
            st.builds(Signer, st.sampled_from(("ok", "bad-signature", "address-mismatch")), st.just(("x@y.example",))),
            max_size=2,
        ).map(tuple),
        whole=st.booleans(),
    ),
    max_size=3,
).map(tuple)

_SUBJECTS = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(("", "[encrypt] ", "[unencrypted]", "[sign] ")),
        st.text("abc []", max_size=12),
        st.sampled_from(("", " [ENCRYPT]", " [sign]")),
    ),
)


_MESSAGES = st.fixed_dictionaries(
    {
        "to": st.lists(st.sampled_from(ADDRESSES), max_size=6),
        "subject": _SUBJECTS,
        "author": st.sampled_from(("ann@inside.example", "boss@inside.example")),
        "fields": st.sampled_from(((), (("Sensitivity", "Company-Confidential"),))),
        "octets": st.sampled_from((100, 10_000, 100_000)),
        "protected": st.sampled_from(("none", "none", "signed", "encrypted")),
        "calendar": st.booleans(),
        "inbound_mark": st.booleans(),
        "automatic": st.booleans(),
        "hops": st.sampled_from((0, 0, 0, 60)),
        "looped": st.lists(st.sampled_from(ADDRESSES), max_size=1).map(frozenset),
    }
)


def _inside(to: list[RecipientFacts], about: dict[str, Any]) -> st.SearchStrategy[Inside | None]:
    """What the sender's program encrypted: not looked at, not opened, or opened and encrypted to some of what is known."""
    known = [
        each.certificate.issuer_serial.hex() for one in to for each in (*one.personal.chosen, *one.domain_wide.chosen)
    ]
    names = st.frozensets(st.sampled_from(known)) if known else st.just(frozenset[str]())
    within = message(**{**about, "protected": "none"})
    return st.one_of(st.none(), st.just(Inside("no key")), st.builds(Inside, st.just(""), st.just(within), names))


_QUEUED = st.fixed_dictionaries(
    {
        "now": st.sampled_from((NOW + 1, NOW + DAY, NOW + 6 * DAY)),
        "state": st.sampled_from(("received", "held")),
        "released": st.booleans(),
    }
)
_SENDERS = st.sampled_from(("ann@inside.example", "x@outside.example", ""))
_RECIPIENTS = st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=4, unique=True)
_NOTIFY = st.sampled_from(((), ("NEVER",), ("FAILURE",), ("SUCCESS", "DELAY")))
_ORIGINS = st.sampled_from(("submission", "internet", "notice"))


@st.composite
def cases(draw: Callable[..., Any]) -> Case:
    """A whole case; about every combination of settings, certificates, addressing and history."""
    who = draw(_SENDERS)
    where: Effective[str] = Effective("internal" if who.endswith("inside.example") else "external")
    by = sender(who, signs=draw(st.booleans()), locality=where, **draw(_SETTINGS))
    addresses = draw(_RECIPIENTS)
    to = [
        recipient(
            each,
            by,
            personal=draw(_CERTIFICATES)(each),
            domain_wide=draw(_CERTIFICATES)(f"domain-confidentiality-authority@{each.partition('@')[2]}"),
            additional=draw(_CERTIFICATES)("escrow@inside.example"),
            internal=each.endswith("inside.example"),
            **draw(_SETTINGS),
        )
        for each in addresses
    ]
    about = draw(_MESSAGES)
    given = facts(by, to, message(**about), **draw(_QUEUED))
    if about["protected"] == "encrypted":
        given = msgspec.structs.replace(given, inside=draw(_inside(to, about)))
    said = envelope(by, [Recipient(each, draw(_NOTIFY)) for each in addresses], draw(_ORIGINS))
    return Case(said, Opened(draw(_LAYERS)), Findings(must_encrypt=draw(st.booleans())), given)
