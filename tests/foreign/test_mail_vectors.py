"""Every mail of two foreign collections is read without an exception and given back octet by octet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from letterlock.mail.decoded import UnclearMailboxes, mailboxes, text
from letterlock.mail.headers import edit
from letterlock.mail.message import Message
from letterlock.mail.parse import parse
from letterlock.smime.canonical import is_canonical, is_seven_bit, seven_bit, transportable

FOLDER = Path(os.environ.get("LETTERLOCK_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")
MAILS = [
    path
    for name in ("mime4j", "cpython-email")
    for path in sorted((FOLDER / name).rglob("*"))
    if path.is_file() and path.name != "SOURCE.txt"
]

if MAILS:

    def test_all_of_them() -> None:
        assert len(MAILS) > 500

    @pytest.mark.req("B1")
    @pytest.mark.parametrize("path", MAILS, ids=lambda path: str(path.relative_to(FOLDER)))
    def test_read_and_given_back(path: Path) -> None:
        octets = path.read_bytes()
        message = Message(octets)
        assert b"".join(edit(message)) == octets
        gone = b"".join(edit(message, remove=[b"subject"]))
        assert len(gone) == len(octets) - sum(each.end - each.start for each in message.named(b"subject"))
        for each in message.fields:
            text(message.value(each))
        for value in message.values(b"from"):
            try:
                mailboxes(value)
            except UnclearMailboxes:
                continue
        root = parse(octets)
        assert (root.start, root.end) == (0, len(octets))
        for part in root.walk():
            assert part.content_type.value
            assert part.filename is not None
            b"".join(part.decoded())

    @pytest.mark.req("B1")
    @pytest.mark.parametrize("path", MAILS, ids=lambda path: str(path.relative_to(FOLDER)))
    def test_canonical_forms_keep_every_part(path: Path) -> None:
        octets = path.read_bytes()
        ready = transportable(octets)
        assert is_canonical(ready)
        assert transportable(ready) is ready
        plain = seven_bit(ready)
        assert is_canonical(plain)
        before, after = list(parse(ready).walk()), list(parse(plain).walk())
        assert [part.content_type.value for part in before] == [part.content_type.value for part in after]
        for old, new in zip(before, after, strict=True):
            if not old.children and old.encoding in ("7bit", "8bit", "binary") and old.encoding != new.encoding:
                assert b"".join(old.decoded()) == b"".join(new.decoded())
                assert is_seven_bit(bytes(new.body))
