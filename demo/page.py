"""The inbox page: a list of what arrived, one page a mail, and the mail as it came; no script, loopback only.

Guarantees
    Everything from a mail is escaped. The content security policy allows our own style sheet and nothing else, so a
    mail that is shown can load and run nothing. Raw views are text/plain. GET changes nothing.
"""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from inbox import Inbox, Mail

STYLE = (Path(__file__).parent / "page.css").read_bytes()
SHOWN_OCTETS = 20_000
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _Reader(BaseHTTPRequestHandler):
    """One request."""

    server: Page

    def do_GET(self) -> None:
        """Route by path; anything else is 404."""
        inbox = self.server.inbox
        match self.path.strip("/").split("/"):
            case [""]:
                self._answer(_list(inbox.mails))
            case ["page.css"]:
                self._answer(STYLE, "text/css; charset=utf-8")
            case ["mail", number] if (mail := _find(inbox, number)) is not None:
                self._answer(_mail(mail))
            case ["mail", number, "raw"] if (mail := _find(inbox, number)) is not None:
                self._answer(mail.octets, "text/plain; charset=utf-8")
            case _:
                self._answer(_frame("Not here", "<p>There is no such page.</p>"), status=HTTPStatus.NOT_FOUND)

    def _answer(self, body: bytes, kind: str = "text/html; charset=utf-8", status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the standard library's
        """Say nothing: the terminal belongs to the demo's table."""


class Page(ThreadingHTTPServer):
    """Serves the page on a free loopback port."""

    daemon_threads = True

    def __init__(self, inbox: Inbox, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Reader)
        self.inbox = inbox
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def url_of(self, mail: Mail) -> str:
        """The address of one mail's page."""
        return f"{self.url}mail/{mail.number}"


def _find(inbox: Inbox, number: str) -> Mail | None:
    return inbox.mails[int(number) - 1] if number.isdecimal() and 0 < int(number) <= len(inbox.mails) else None


def _frame(title: str, body: str) -> bytes:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/page.css"></head><body>'
        '<header><a href="/">Next hop</a><span>what left the gateway, and what it let in</span></header>'
        f"<main>{body}</main></body></html>"
    ).encode()


def _list(mails: list[Mail]) -> bytes:
    if not mails:
        return _frame("Next hop", "<h1>Inbox</h1><p>Nothing has arrived yet.</p>")
    rows = "".join(
        f'<tr><td class="number">{mail.number}</td>'
        f'<td><a href="/mail/{mail.number}">{escape(mail.subject) or "(no subject)"}</a>{_badges(mail)}</td>'
        f"<td>{escape(mail.sender) or '&lt;&gt;'}</td><td>{escape(', '.join(mail.recipients))}</td>"
        f"<td><time>{mail.at:%H:%M:%S}</time></td></tr>"
        for mail in reversed(mails)
    )
    head = "<tr><th>#</th><th>Subject</th><th>From</th><th>To</th><th>At (UTC)</th></tr>"
    return _frame("Next hop", f"<h1>Inbox</h1><table><thead>{head}</thead><tbody>{rows}</tbody></table>")


def _badges(mail: Mail) -> str:
    names = []
    if mail.is_encrypted:
        names.append(("encrypted", "encrypted"))
    if mail.is_signed:
        names.append(("signed", "carries a signature"))
    if mail.findings:
        names.append(("marked", "marked by the gateway"))
    if not mail.sender:
        names.append(("notice", "notice"))
    return "".join(f' <span class="badge {kind}">{text}</span>' for kind, text in names)


def _mail(mail: Mail) -> bytes:
    facts = [("From", mail.sender or "<>"), ("To", ", ".join(mail.recipients)), ("Arrived", f"{mail.at:%H:%M:%S} UTC")]
    facts += mail.findings
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    text = mail.octets[:SHOWN_OCTETS].decode("utf-8", "replace")
    more = "" if len(mail.octets) <= SHOWN_OCTETS else f"\n… and {len(mail.octets) - SHOWN_OCTETS:,} octets more"
    return _frame(
        mail.subject or "(no subject)",
        f"<h1>{escape(mail.subject) or '(no subject)'}</h1><p>{_badges(mail)}</p><dl>{listed}</dl>"
        f'<h2>As it came <a href="/mail/{mail.number}/raw">raw</a></h2><pre>{escape(text + more)}</pre>',
    )
