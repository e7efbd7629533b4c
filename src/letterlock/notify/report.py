"""Delivery status notifications with a text for people: the notice inside ``mail/dsn.py``'s report.

Guarantees
    The text holds of what the next hop said no more than the machine's part does: to the outside, its codes.

See also
    ``mail/dsn.py`` for what is given back to whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from letterlock.mail import compose as mail
from letterlock.mail import dsn
from letterlock.notify.render import DEFAULT_LANGUAGE, Value, render

_AUTHOR: Final = "Mail Delivery System"


def compose(
    report: dsn.Report,
    *,
    to: str,
    postmaster: str,
    inside: bool,
    back: dsn.Back,
    now: float,
    language: str = DEFAULT_LANGUAGE,
) -> bytes:
    """The whole report to ``to``, to be queued with the null reverse-path.

    All fates of one report should have the same action; the text is that of the gravest. ``inside``: the sender is one
    of our own submitters. ``now``: seconds since the Unix epoch. Raises ValueError for a report to nobody or about
    nobody, AddressInvalid.
    """
    rows = [_row(each, inside) for each in report.fates]
    variables: dict[str, Value] = {"host": report.reporter, "recipients": rows}
    actions = {each.action for each in report.fates}
    if "failed" in actions:
        notice = "delivery_failed"
    elif "delayed" in actions:
        notice = "delivery_delayed"
        until = max(each.retry_until for each in report.fates)
        variables["retry_until"] = mail.date(until) if until else ""
    else:
        notice = "delivery_relayed"
    rendered = render(notice, variables, language)
    return dsn.make(
        report,
        to=to,
        author=(_AUTHOR, postmaster),
        subject=rendered.subject,
        text=rendered.text,
        inside=inside,
        back=back,
        now=now,
    )


def _row(fate: dsn.Fate, inside: bool) -> Mapping[str, str]:
    said = fate.diagnostic if inside else dsn.codes_only(fate.diagnostic)
    return {"address": fate.address, "about": fate.status[2:].partition(".")[0], "said": said or fate.status}
