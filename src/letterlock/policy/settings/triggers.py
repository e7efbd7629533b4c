"""Settings of the triggers: what a sender writes into a message to have it encrypted, signed, or left in clear.

Guarantees
    A literal trigger counts only at the start or the end of the subject, whatever its case and white space.
"""

from __future__ import annotations

from letterlock.policy.settings.declare import EVERYWHERE, Setting
from letterlock.policy.settings.kinds import Flag, Lined, Text
from letterlock.policy.settings.texts import HEADER_PATTERN


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError("white space alone is not looked for")
    return text.strip()


_SUBJECT = Text("a keyword or regular expression", most=100, empty=False, more=_visible)
_FIELDS = Lined(HEADER_PATTERN, "header fields such as Sensitivity: Company-Confidential", most=50)


def _flag(name: str, default: bool, doc: str) -> Setting[bool]:
    return Setting(name, Flag(), default, doc, EVERYWHERE, "sender")


def _subject(name: str, default: str, doc: str) -> Setting[str]:
    return Setting(name, _SUBJECT, default, doc, EVERYWHERE, "sender")


def _fields(name: str, default: tuple[str, ...], doc: str) -> Setting[tuple[str, ...]]:
    return Setting(name, _FIELDS, default, doc, EVERYWHERE, "sender")


SUBJECT_TRIGGER_ENABLED = _flag("subject_trigger_enabled", True, "A keyword in the subject makes encryption mandatory.")
SUBJECT_TRIGGER = _subject(
    "subject_trigger", "[encrypt]", "The keyword at the start or end of the subject that makes encryption mandatory."
)
SUBJECT_TRIGGER_IS_REGEX = _flag("subject_trigger_is_regex", False, "subject_trigger is a regular expression.")
SUBJECT_TRIGGER_REMOVE = _flag("subject_trigger_remove", True, "The keyword is removed before the message leaves.")
HEADER_TRIGGER_ENABLED = _flag("header_trigger_enabled", True, "A header field makes encryption mandatory.")
HEADER_TRIGGER = _fields(
    "header_trigger",
    ("Sensitivity: company-confidential", "X-Letterlock-Encrypt: yes"),  # RFC 4021 2.1.55
    "The header fields that make encryption mandatory: a name, a colon, a pattern for the whole value.",
)
HEADER_TRIGGER_REMOVE = _flag("header_trigger_remove", True, "The field is removed before the message leaves.")

SIGN_SUBJECT_TRIGGER_ENABLED = _flag(
    "sign_subject_trigger_enabled", False, "A keyword in the subject asks for signing."
)
SIGN_SUBJECT_TRIGGER = _subject(
    "sign_subject_trigger", "[sign]", "The keyword at the start or end of the subject that asks for signing."
)
SIGN_SUBJECT_TRIGGER_IS_REGEX = _flag(
    "sign_subject_trigger_is_regex", False, "sign_subject_trigger is a regular expression."
)
SIGN_SUBJECT_TRIGGER_REMOVE = _flag(
    "sign_subject_trigger_remove", True, "The keyword is removed before the message leaves."
)
SIGN_HEADER_TRIGGER_ENABLED = _flag("sign_header_trigger_enabled", False, "A header field asks for signing.")
SIGN_HEADER_TRIGGER = _fields(
    "sign_header_trigger",
    ("X-Letterlock-Sign: yes",),
    "The header fields that ask for signing: a name, a colon, a pattern for the whole value.",
)
SIGN_HEADER_TRIGGER_REMOVE = _flag(
    "sign_header_trigger_remove", True, "The field is removed before the message leaves."
)

NO_ENCRYPT_TRIGGER_ENABLED = _flag(
    "no_encrypt_trigger_enabled", False, "A keyword in the subject leaves mail in clear that may be so (mode allow)."
)
NO_ENCRYPT_TRIGGER = _subject(
    "no_encrypt_trigger", "[unencrypted]", "The keyword at the start or end of the subject that asks for clear mail."
)
NO_ENCRYPT_TRIGGER_IS_REGEX = _flag("no_encrypt_trigger_is_regex", False, "no_encrypt_trigger is a regular expression.")
NO_ENCRYPT_TRIGGER_REMOVE = _flag(
    "no_encrypt_trigger_remove", True, "The keyword is removed before the message leaves."
)

PATTERNS = (
    (SUBJECT_TRIGGER, SUBJECT_TRIGGER_IS_REGEX),
    (SIGN_SUBJECT_TRIGGER, SIGN_SUBJECT_TRIGGER_IS_REGEX),
    (NO_ENCRYPT_TRIGGER, NO_ENCRYPT_TRIGGER_IS_REGEX),
)
"""Keyword settings and the switch that makes each a pattern; a keyword that is no safe pattern stays a literal."""
