"""The part of ``docs/interop.md`` that is made from ``matrix.py``: the versions, the table, the reasons.

Order
    ``python -m tests.interop.document`` writes it, between its two marks; test_document.py says when that was forgotten.
"""

from __future__ import annotations

from pathlib import Path

from tests.interop.forms import FORMS
from tests.interop.matrix import DIRECTIONS, RULES, TRIED, TRIED_ON, Cell, Direction, branch, cell

PAGE = Path(__file__).parents[2] / "docs/interop.md"
BEGIN, END = "<!-- made by tests/interop/document.py -->\n", "<!-- end -->\n"
HOW = {
    "openssl": ("OpenSSL, `openssl cms`", "mail"),
    "gpgsm": ("GnuPG, `gpgsm`", "CMS objects"),
    "NSS": ("NSS, `cmsutil`", "CMS objects"),
    "GnuTLS": ("GnuTLS, `certtool`", "CMS objects"),
    "BouncyCastle": ("BouncyCastle, `tests/interop/peers/Peer.java`", "CMS objects"),
    "PKI.js": ("PKI.js, `tests/interop/peers/peer.mjs`", "CMS objects"),
}


def made() -> str:
    """What stands between the marks."""
    reasons: list[str] = []
    rows = []
    for form in FORMS:
        cells = [
            _told(name, direction, cell(name, direction, form), reasons) for name in RULES for direction in DIRECTIONS
        ]
        rows.append(f"| {form.name} | {' | '.join(cells)} |")
    names = [f"{name} {direction}" for name in RULES for direction in DIRECTIONS]
    return "\n".join(
        [
            f"Tried on {TRIED_ON}.",
            "",
            "| peer | Debian 12 | Debian 13 | Debian unstable | reads and writes |",
            "|---|---|---|---|---|",
            *(f"| {HOW[name][0]} | {' | '.join(tried)} | {HOW[name][1]} |" for name, tried in TRIED.items()),
            "",
            f"| form | {' | '.join(names)} |",
            f"|---|{'---|' * len(names)}",
            *rows,
            "",
            *(f"{number}. {reason}." for number, reason in enumerate(reasons, 1)),
            "",
        ]
    )


def _told(name: str, direction: Direction, found: Cell, reasons: list[str]) -> str:
    """The cell's text; a reason that is new gets the next number."""
    if found.state == "ok":
        return "ok"
    if found.reason not in reasons:
        reasons.append(found.reason)
    number = reasons.index(found.reason) + 1
    if found.state == "learned":
        since = ".".join(map(str, branch(TRIED[name][found.by])))
        return f"from {since} [{number}]"
    return f"{'no' if found.state == 'refused' else 'n/a'} [{number}]"


def region(page: str) -> str:
    """What a page has between the marks."""
    return page.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Writes it into the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{made()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
