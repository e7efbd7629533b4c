"""Nobody outside can put our tags into a subject, however they are hidden; nor hide a trigger from us."""

from __future__ import annotations

import pytest

from letterlock.decision.plan import Marks
from letterlock.flow.mark import incoming_change
from letterlock.mail.decoded import as_seen
from letterlock.mail.decoded import text as decoded_text
from letterlock.mail.message import Message

OWN = ("[signed]", "[signed by {signer}]", "[invalid signature]", "[✔️ ok]")


def shown(subject: bytes, tags: tuple[str, ...] = (), subject_filter: str = "") -> tuple[bytes, str]:
    """The octets of the subject as they leave, and their text."""
    entity = Message(b"From: a@b.example\r\nSubject: " + subject + b"\r\n\r\nx\r\n")
    change = incoming_change(entity, Marks(tags=tags, own_tags=OWN, subject_filter=subject_filter))
    (field,) = entity.named(b"subject")
    octets = change.replace.get(field, b"Subject: " + subject + b"\r\n").partition(b":")[2].strip()
    return octets, decoded_text(octets.replace(b"\r\n", b""))


@pytest.mark.req("A15")
@pytest.mark.parametrize("tags", [(), ("[decrypted]",)])
@pytest.mark.parametrize(
    "subject",
    [
        b"[\x01signed] hi",
        b"[sig\x7fned] hi",
        b"\x01[signed]\x02 hi",
        b"[signed by\x03 x@y.example] hi",
        b"=?utf-8?q?=5Bsig=01ned=5D?= hi",
        b"=?utf-8?q?=5Bsig=0D=0Aned=5D_hi?=",
        b"=?utf-8?q?=5Binvalid=0D=0Asignature=5D_hi?=",
        b"=?utf-8?q?=5Bsig?= =?utf-8?q?=C2=85ned=5D_hi?=",
        b"[ signed\t] hi",
        b"[sig[sig\x01ned]ned] hi",
        b"[sig\x01[\x02signed]\x03ned] hi",
        "\uff3bsigned\uff3d hi".encode(),
        "\uff3b\uff53\uff49\uff47\u200b\uff4e\uff45\uff44\uff3d hi".encode(),
        "[sig\ufe0fned] hi".encode(),
        "[sig\u3164ned] hi".encode(),
        "[✔ ok] hi".encode(),
        "\u200b".encode() * 5_000 + b"[sig\x01ned] hi",
    ],
)
def test_hidden_tags_go(subject: bytes, tags: tuple[str, ...]) -> None:
    assert shown(subject, tags)[1] == " ".join((*tags, "hi"))


@pytest.mark.req("A15")
@pytest.mark.parametrize(
    "subject",
    [
        b"Report",
        b"signed report [x]",
        "Grüße \u200b an u\u0308ber ½ ﬁn".encode(),
        b"=?utf-8?q?two=0D=0Alines?=",
        b"=?iso-8859-1?Q?Gr=FC=DFe?=  twice",
        b"a \x01 b",
    ],
)
def test_innocent_subject_keeps_its_octets(subject: bytes) -> None:
    assert shown(subject)[0] == subject


@pytest.mark.req("A15")
def test_what_a_filter_brings_together_goes_too() -> None:
    assert shown("[sig\u200bXXned] hi".encode(), subject_filter="\u200bX+")[1] == "hi"
    assert shown(b"report", subject_filter="x*") == (b"report", "report")


@pytest.mark.parametrize("text", ["a" + "\u0301" * 200_000 + "\u0316" * 200_000, "\ufdfa" * 100_000, "\x01" * 500_000])
def test_hostile_text_takes_no_time(text: str) -> None:
    as_seen(text)
