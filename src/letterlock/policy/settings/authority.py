"""Settings of certificate authorities: who gets a certificate without being asked for, and from where.

Standards
    RFC 8555 7.1.1 (directory), 7.3 (contact, terms of service).

See also
    ``pki/ca/pending.py`` (what becomes of it), ``flow/wanted.py`` (who wants one).
"""

from __future__ import annotations

import re
from datetime import timedelta

from letterlock.policy.settings.declare import EVERYWHERE, GATEWAY, Setting
from letterlock.policy.settings.kinds import Choice, Flag, Listed, Span, Text
from letterlock.policy.settings.texts import mail_address


def _directory(text: str) -> str:
    """``https://host[:port]/path``. Raises ValueError."""
    match = re.fullmatch(r"https://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:[0-9]{1,5})?/[!-~]*", text)
    if match is None or set(text) & set("#<>\"'\\{}|^`@"):
        raise ValueError("https, a host and a path")
    return text


MOST_WARNED_DAYS = 90


def _days(text: str) -> str:
    """A number of days. Raises ValueError."""
    if not text.isascii() or not text.strip().isdigit() or not 1 <= int(text) <= MOST_WARNED_DAYS:
        raise ValueError(f"a number of days from 1 to {MOST_WARNED_DAYS}")
    return str(int(text))


SMIME_AUTO_REQUEST_CERT = Setting(
    "smime_auto_request_cert",
    Flag(),
    False,
    "A sender of ours without a valid signing certificate gets one by itself, so that the next mail can be signed.",
    EVERYWHERE,
    "sender",
)
SMIME_REQUEST_HANDLER = Setting(
    "smime_request_handler",
    Choice("builtin", "delayed", "pkcs10", "acme"),
    "builtin",
    "How certificates are requested: from our own authority at once, after approval, as PKCS #10 for one elsewhere, or by"
    " ACME.",
    EVERYWHERE,
    "sender",
)
SMIME_REQUEST_PROFILE = Setting(
    "smime_request_profile",
    Text("the name of a profile", most=64, empty=False),
    "smime",
    "The profile of certificates that are requested without being asked for.",
    EVERYWHERE,
    "sender",
)
ACME_DIRECTORY = Setting(
    "acme_directory",
    Text("the address of an ACME directory as https://host[:port]/path, or nothing", most=500, more=_directory),
    "",
    "The ACME server of the handler acme; no other host is asked. It must offer email-reply-00 (RFC 8823).",
    GATEWAY,
)
ACME_CONTACT = Setting(
    "acme_contact",
    Text("an e-mail address, or nothing", most=320, more=mail_address),
    "",
    "Who answers for the account at the ACME server; empty: postmaster.",
    GATEWAY,
)
ACME_TERMS_AGREED = Setting(
    "acme_terms_agreed",
    Flag(),
    False,
    "You have read the ACME server's terms of service and agree to them.",
    GATEWAY,
)
ACME_PATIENCE = Setting(
    "acme_patience",
    Span(timedelta(minutes=5), timedelta(days=30)),
    timedelta(days=1),
    "How long a certificate by ACME may take, the challenge mail and its reply among it, before the request has failed.",
    GATEWAY,
)
ACME_HEAD_START = Setting(
    "acme_head_start",
    Span(timedelta(seconds=1), timedelta(hours=2)),
    timedelta(minutes=1),
    "How long the reply to a challenge mail is given to arrive before the server is told to look for it; after each proof"
    " that failed twice as long.",
    GATEWAY,
)
CERTIFICATE_WARNINGS = Setting(
    "certificate_warnings",
    Listed(Text("a number of days", most=10, empty=False, more=_days), "days before the end", most=10),
    ("30", "7", "1"),
    "When owner and postmaster are told by mail that a certificate with a key here ends and nothing newer is there.",
    EVERYWHERE,
    "sender",
)
