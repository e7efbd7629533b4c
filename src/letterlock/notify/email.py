"""A rendered notice as a message; the caller queues it with the null reverse-path.

Guarantees
    Every notice says that a program wrote it, so that no program answers it (RFC 3834); together with the null
    reverse-path (RFC 5321 4.5.5) this keeps two gateways from writing to each other for ever.

Standards
    RFC 3834 3.1.5 (In-Reply-To, References), 5 (Auto-Submitted).

Raises
    ValueError, AddressInvalid: faults of the caller, see ``render.py`` and ``mail/compose.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from letterlock.mail import compose as mail
from letterlock.notify.render import DEFAULT_LANGUAGE, Value, render

REVERSE_PATH: Final = ""
"""The envelope sender of every notice."""

MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>\Z")


def compose(
    notice: str,
    variables: Mapping[str, Value],
    sender: tuple[str, str],
    recipient: str,
    *,
    now: float,
    answers: str = "",
    language: str = DEFAULT_LANGUAGE,
) -> bytes:
    """The notice, ready to be queued.

    ``sender``: display name and address of the author, such as ("Letterlock", "postmaster@..."). ``now``: seconds since
    the Unix epoch. ``answers``: Message-ID of the message it is about; left out when it is not a proper one.
    """
    rendered = render(notice, variables, language)
    fields = [
        mail.date_field(now),
        mail.address_field("From", [sender]),
        mail.address_field("To", [("", recipient)]),
        mail.field("Subject", rendered.subject),
        mail.field("Message-ID", mail.new_message_id(sender[1].rpartition("@")[2])),
        mail.field("Auto-Submitted", "auto-replied" if answers else "auto-generated"),
        # Exchange answers "out of office" to what bears only the standard's field.
        mail.field("X-Auto-Response-Suppress", "All"),
    ]
    if MESSAGE_ID.match(answers):
        fields += [mail.field("In-Reply-To", answers), mail.field("References", answers)]
    return mail.message(fields, mail.text(rendered.text))
