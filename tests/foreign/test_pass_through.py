"""Mail that only passes leaves with the octets it came with: every mail of two foreign collections, both ways."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stories.world import World

FOLDER = Path(os.environ.get("LETTERLOCK_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")
KINDS = (".msg", ".eml", ".txt")
OWN_FIELDS = re.compile(rb"^(?:bcc|x-letterlock-[^:]*|received|return-path)\s*:", re.IGNORECASE)


def _mails() -> list[tuple[str, bytes]]:
    """Every mail as it can stand in DATA: CRLF only, at its end too."""
    found = []
    for name in ("mime4j", "cpython-email"):
        for path in sorted((FOLDER / name).rglob("*")):
            if path.suffix in KINDS and path.name != "SOURCE.txt":
                octets = re.sub(rb"\r\n|\r|\n", b"\r\n", path.read_bytes())
                found.append((str(path.relative_to(FOLDER)), octets if octets.endswith(b"\r\n") else octets + b"\r\n"))
    return found


def _split(octets: bytes) -> tuple[list[bytes], bytes]:
    """(header fields with their folding, the rest from the first line that is no field)."""
    fields: list[bytes] = []
    at = 0
    while at < len(octets):
        end = octets.find(b"\r\n", at) + 2
        line = octets[at:end]
        if line[:1] in b" \t" and fields and line.strip():
            fields[-1] += line
        elif re.match(rb"[!-9;-~]+[ \t]*:", line):
            fields.append(line)
        else:
            break
        at = end
    return fields, octets[at:]


def _kept(octets: bytes) -> tuple[list[bytes], bytes]:
    fields, rest = _split(octets)
    return [field for field in fields if not OWN_FIELDS.match(field)], rest


if (FOLDER / "mime4j").is_dir():

    @pytest.fixture(scope="module")
    def open_world() -> Iterator[World]:
        """A gateway that refuses no line for its length."""
        with World({"smtpd_line_octets": "1000000", "smtpd_messages_per_connection": "100000"}) as made:
            yield made

    @pytest.mark.req("A1", "A4")
    @pytest.mark.slow
    @pytest.mark.timeout(240)
    @pytest.mark.parametrize("way", ["out", "in"])
    def test_not_one_octet_changes(open_world: World, way: str) -> None:
        mails = _mails()
        assert len(mails) > 200
        sender = open_world.address("inside.test" if way == "out" else "outside.test")
        numbered = {}
        with open_world.gateway.smtp("127.0.0.1" if way == "out" else "127.0.0.2") as client:
            for number, (name, octets) in enumerate(mails):
                to = f"{way}{number}@{'outside' if way == 'out' else 'inside'}.test"
                numbered[to] = (name, octets)
                code, said = _send(client, sender, to, octets)
                assert code == 250, (name, said)
        changed = []
        for to, (name, octets) in numbered.items():
            arrival = open_world.hop.wait_for_recipient(to, within=60)[0]
            if way == "out" and not arrival.octets.endswith(octets) and _kept(arrival.octets) != _kept(octets):
                changed.append(name)
            if way == "in" and not _same_but_marks(arrival.octets, octets):
                changed.append(name)
        assert not changed, f"{len(changed)} of {len(mails)}: {changed}"


def _send(client: object, sender: str, to: str, octets: bytes) -> tuple[int, bytes]:
    for code, said in (client.mail(sender), client.rcpt(to)):
        if code != 250:
            return code, said
    client.putcmd("data")
    code, said = client.getreply()
    if code != 354:
        return code, said
    # smtplib's data() would fold line ends of its own finding; these octets go as they are, dots doubled.
    client.send(re.sub(rb"(?m)^\.", b"..", octets) + b".\r\n")
    reply = client.getreply()
    return reply[0], reply[1]


def _same_but_marks(arrived: bytes, sent: bytes) -> bool:
    """The same body and fields; of incoming mail the Subject may have got or lost our tags."""
    if arrived.endswith(sent):
        return True
    (fields, rest), (wanted, body) = _kept(arrived), _kept(sent)
    subject = re.compile(rb"^subject\s*:", re.IGNORECASE)
    return rest == body and [f for f in fields if not subject.match(f)] == [f for f in wanted if not subject.match(f)]
