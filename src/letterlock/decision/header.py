"""Whether a delivery's header fields are protected with its content (RFC 9788), and hidden outside.

Guarantees
    Pure. Nothing is hidden outside that does not stand inside: where the header cannot be protected it stays as it is, and
    the trace says why.

See also
    ``outgoing.py``, which asks; ``smime/header_writing.py`` for the obstacles and the writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from letterlock.decision import trace
from letterlock.decision.known import MessageFacts
from letterlock.decision.trace import Step
from letterlock.policy.effective import Combined
from letterlock.policy.settings import smime

Header = Literal["none", "copy", "hide"]


def protected_header(
    asked: Combined[str] | None, about: str, message: MessageFacts, *, report: bool, encrypting: bool, safe: bool
) -> tuple[Header, Sequence[Step]]:
    """What becomes of the header of a delivery to ``about``, and the steps that say so. ``asked``: the setting between
    the two; None: it is neither signed nor encrypted. ``report``: it leaves as a report of our own making; ``safe``: no
    relay can change what is signed, since it is encrypted or opaque."""
    if asked is None or asked.value == "none":
        return "none", ()
    obstacle = "a report" if report else message.unprotectable
    if not (obstacle or safe or message.ascii):  # a relay may change such octets, and break the signature
        obstacle = "they hold more than ASCII"
    if obstacle:
        return "none", (Step("header", f"not protected, {obstacle}", about),)
    hide = asked.value == "hide" and encrypting
    outcome = "protected, and the subject hidden outside" if hide else "protected"
    step = trace.by_setting("header", outcome, about, smime.SMIME_HEADER_PROTECTION, asked)
    return "hide" if hide else "copy", (step,)
