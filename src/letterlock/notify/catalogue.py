"""Every notice we send: its name, to whom it goes, and its variables.

Guarantees
    A template can use the variables declared here and no others; a caller must give all of them.
    Notices go to our own senders and postmaster only, except reports, which any sender may get (RFC 3464): so nobody
    can make the gateway write to a third person by forging a sender.

See also
    ``templates/<language>/<notice>/{subject.txt,body.txt}``; ``render.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Kind = Literal["text", "texts", "rows"]
"""text: one line. texts: a list of lines. rows: a list of records, each of lines."""


class Variable(NamedTuple):
    """``columns``: the names in each record of a variable of kind rows."""

    kind: Kind
    meaning: str
    columns: tuple[str, ...] = ()


class Notice(NamedTuple):
    """One notice. ``purpose``: who gets it, and when; shown where notices are administered."""

    name: str
    purpose: str
    variables: Mapping[str, Variable]


_MESSAGE: Final = {
    "subject": Variable("text", "Subject of the message it is about, as its sender wrote it"),
    "sent_at": Variable("text", "when that message came in"),
    "contact": Variable("text", "address of somebody who can help"),
}
_REPORTED: Final = {
    "host": Variable("text", "name of the reporting server"),
    "recipients": Variable(
        "rows",
        "whom the report is about: address; class of the status code's second part (RFC 3463); what was said",
        ("address", "about", "said"),
    ),
}

_NOTICES: Final = (
    Notice(
        "encryption_failed",
        "To the sender: the message must be encrypted for some recipients and cannot be; it was not sent to them.",
        {
            **_MESSAGE,
            "recipients": Variable("rows", "who did not get it, and why", ("address", "why")),
            "held_until": Variable("text", "until when it waits; empty when it does not wait"),
            "queue_id": Variable("text", "by what the administrator finds it"),
        },
    ),
    Notice(
        "encryption_notification",
        "To the sender: the message was sent encrypted.",
        {**_MESSAGE, "recipients": Variable("rows", "who got it, and how it was protected", ("address", "method"))},
    ),
    Notice(
        "released",
        "To the sender: a message that was held is now on its way.",
        {**_MESSAGE, "recipients": Variable("texts", "to whom"), "reason": Variable("text", "said at release")},
    ),
    Notice(
        "dropped",
        "To the sender: a message that was held was removed and will not be delivered.",
        {**_MESSAGE, "recipients": Variable("texts", "to whom it was"), "reason": Variable("text", "said at removal")},
    ),
    Notice(
        "key_changed",
        "To the postmaster: a correspondent's signed mail came with a certificate of another key than those known.",
        {
            "address": Variable("text", "the correspondent"),
            "subject": Variable("text", "whom the certificate names"),
            "issuer": Variable("text", "who issued it"),
            "thumbprint": Variable("text", "its SHA-256 thumbprint"),
            "waits_since": Variable("text", "since when it waits for approval; empty when it does not"),
        },
    ),
    Notice(
        "certificate_ends",
        "To its owner and the postmaster: a certificate with a key here ends soon, and nothing newer is there.",
        {
            "address": Variable("text", "whose certificate it is"),
            "subject": Variable("text", "whom the certificate names"),
            "issuer": Variable("text", "who issued it"),
            "thumbprint": Variable("text", "its SHA-256 thumbprint"),
            "ends_at": Variable("text", "when it ends"),
            "renewal": Variable("text", "how it is renewed: automatic, by request, or by hand"),
            "request": Variable("text", "id of the request that is open; empty when there is none"),
            "waits": Variable("text", "the state of that request; empty when there is none"),
            "contact": Variable("text", "address of somebody who can help"),
        },
    ),
    Notice(
        "key_exported",
        "To the owner and the postmaster: a private key was given out.",
        {
            "addresses": Variable("texts", "whose key it is"),
            "who": Variable("text", "the administrator"),
            "reason": Variable("text", "said by the administrator"),
            "at": Variable("text", "when"),
        },
    ),
    Notice(
        "automatic_message",
        "To somebody outside, instead of an automatic message from inside whose content may not leave.",
        {"host": Variable("text", "name of this server")},
    ),
    Notice("delivery_failed", "To the sender, in a report: the message could not be delivered.", _REPORTED),
    Notice(
        "delivery_delayed",
        "To the sender, in a report: the message is not delivered yet.",
        {**_REPORTED, "retry_until": Variable("text", "how long it will be tried; empty when not known")},
    ),
    Notice("delivery_relayed", "To the sender who asked, in a report: the message was handed on.", _REPORTED),
)

CATALOGUE: Final[Mapping[str, Notice]] = MappingProxyType({each.name: each for each in _NOTICES})
