"""New messages: read back by the standard library, and no value given breaks out of its place."""

from __future__ import annotations

import email
import email.message
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.mail import compose
from letterlock.mail.address import AddressInvalid


def read(octets: bytes) -> email.message.EmailMessage:
    found = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(found, email.message.EmailMessage)
    return found


def test_whole_message() -> None:
    made = compose.message(
        [
            compose.date_field(0),
            compose.address_field("From", [("Gateway, Inc.", "gw@example.org")]),
            compose.address_field("To", [("", "a@example.org"), ("Jürgen Groß", "b@bücher.example")]),
            compose.field("Subject", "Größe — 10 €"),
        ],
        compose.multipart(
            "mixed",
            [compose.text("Hello\nWörld\n"), compose.attachment(b"\x00\xff" * 300, "application/pdf", "ä b.pdf")],
        ),
    )
    assert made.isascii()
    assert b"\n" not in made.replace(b"\r\n", b"")
    found = read(made)
    assert found["Date"] == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert found["From"].addresses[0].display_name == "Gateway, Inc."
    assert [each.addr_spec for each in found["To"].addresses] == ["a@example.org", "b@xn--bcher-kva.example"]
    assert found["To"].addresses[1].display_name == "Jürgen Groß"
    assert found["Subject"] == "Größe — 10 €"
    text, file = found.iter_parts()
    assert text.get_content() == "Hello\r\nWörld\r\n" or text.get_content() == "Hello\nWörld\n"
    assert file.get_content() == b"\x00\xff" * 300
    assert file.get_filename() == "ä b.pdf"
    assert not [each.defects for each in found.walk() if each.defects]


@pytest.mark.parametrize(
    "hostile",
    [
        "a\r\nBcc: eve@example.net",
        "a\nX-Evil: 1",
        "a\rb",
        "a\x00b",
        "a\r\n\r\nbody",
        "a\x0b\x0cb",
        "a\u2028b",
        "\udc80x",
    ],
)
def test_no_value_ends_its_field(hostile: str) -> None:
    for made in (
        compose.field("Subject", hostile),
        compose.address_field("From", [(hostile, "a@example.org")]),
        compose.media_field("text/plain", {"name": hostile}),
    ):
        lines = made.split(b"\r\n")
        assert lines[-1] == b""
        assert all(each.startswith(b" ") for each in lines[1:-1])
        assert made.replace(b"\r\n", b"").translate(None, bytes(range(32))) == made.replace(b"\r\n", b"")


@given(st.text(max_size=300))
def test_any_text_reads_back_as_shown(text: str) -> None:
    made = compose.field("Subject", text)
    assert all(len(line) <= 998 for line in made.split(b"\r\n"))
    found = read(made + b"\r\n")
    assert list(found.keys()) == ["Subject"]
    assert " ".join(found["Subject"].split()) == " ".join(compose.clean(text).split())


def test_an_encoded_word_in_a_value_is_shown_not_decoded() -> None:
    assert b"=?utf-8?B?QQ==?=" not in compose.field("Subject", "see =?utf-8?B?QQ==?= here")


def test_long_words_and_lines() -> None:
    for value in ("x" * 3000, "word " * 400, "ü" * 900):
        made = compose.field("Subject", value)
        assert all(len(line) <= 998 for line in made.split(b"\r\n"))
        assert "".join(read(made + b"\r\n")["Subject"].split()) == value.replace(" ", "")
    for line in compose.field("Subject", "ü" * 900).split(b"\r\n"):
        assert len(line) <= 76  # RFC 2047 2


@pytest.mark.parametrize("name", ["", "A:B", "A B", "A\r\n", "Ä"])
def test_bad_field_names(name: str) -> None:
    with pytest.raises(ValueError, match="field name"):
        compose.field(name, "x")


def test_bad_addresses_and_types() -> None:
    for bad in ("a", "a@b\r\nBcc: x@y", "<a@b>", "a@b, c@d"):
        with pytest.raises(AddressInvalid):
            compose.address_field("To", [("", bad)])
    with pytest.raises(ValueError, match="address"):
        compose.address_field("To", [])
    for bad in ("text", "text/pl ain", "text/plain; x=y", "text/plain\r\nX: y"):
        with pytest.raises(ValueError, match="media type"):
            compose.media_field(bad, {})
    with pytest.raises(ValueError, match="parameter"):
        compose.media_field("text/plain", {"na me": "x"})


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("plain\n", "7bit"),
        ("Grüße aus Köln, und noch etwas Text\n", "quoted-printable"),
        ("привет мир\n", "base64"),
        ("x" * 2000, "quoted-printable"),
        (".\n..\nFrom me\n  \t\n", "7bit"),
    ],
)
def test_text_encodings(content: str, encoding: str) -> None:
    part = compose.text(content)
    assert b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n" in part.fields
    assert all(len(line) <= 998 for line in part.body.split(b"\r\n"))
    assert b"\n" not in part.body.replace(b"\r\n", b"")
    assert read(part.octets()).get_content().replace("\r\n", "\n") == content.rstrip("\n") + "\n"


@given(st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=400))
def test_any_text_part_reads_back(content: str) -> None:
    got = read(compose.text(content).octets()).get_payload(decode=True)
    assert isinstance(got, bytes)
    wanted = "\r\n".join(content.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    assert got.decode() == (wanted if wanted.endswith("\r\n") else wanted + "\r\n")


def test_boundaries_do_not_occur_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    given_out = iter(["a" * 32, "b" * 32])
    monkeypatch.setattr(compose.secrets, "token_hex", lambda _: next(given_out))
    part = compose.multipart("mixed", [compose.text("--=_" + "a" * 32 + "\n")])
    assert b'boundary="=_' + b"b" * 32 in part.fields[0]


def test_long_file_names() -> None:
    name = "ü" * 200 + ".pdf"
    found = read(compose.attachment(b"x", "application/pdf", name).octets())
    assert found.get_filename() == name
    assert all(len(line) <= 80 for line in compose.attachment(b"x", "application/pdf", name).fields[2].split(b"\r\n"))


def test_utf8_addresses_stay_as_they_are() -> None:
    assert "jürgen@example.org" in compose.address_field("To", [("", "jürgen@example.org")]).decode()
