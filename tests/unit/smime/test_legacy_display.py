"""Legacy display elements: shown in the main text only, taken away again octet by octet, and nothing else with them."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.mail.message import Message
from letterlock.mail.parse import Part
from letterlock.smime.header_writing import payload
from letterlock.smime.legacy_display import removals, spliced

HTML = b"<html><head><title>t</title></head><body class='x'><p>Hello</p></body></html>\r\n"
ALTERNATIVE = (
    b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n"
    b"--a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    + HTML
    + b"--a--\r\n\r\n--m\r\nContent-Type: text/plain\r\n\r\nnot the main text\r\n--m\r\n"
    b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nan attachment\r\n--m--\r\n"
)


def shown(content: bytes, subject: str = "the plan") -> bytes:
    """The entity with its element."""
    return b"".join(
        payload(Message(content), [(b"subject", b"Subject: x\r\n")], encrypted=True, hide=True, display=subject)
    )


def removed(entity: bytes) -> bytes:
    """The entity as a reader that knows is to see it."""
    return b"".join(spliced(entity, 0, len(entity), removals(Part(entity))))


def mail(octets: bytes) -> EmailMessage:
    """As the email package reads it."""
    return cast("EmailMessage", message_from_bytes(octets, policy=default))


def texts(octets: bytes) -> list[str]:
    """The decoded leaf texts."""
    parts = [part for part in mail(octets).walk() if part.get_content_maintype() == "text"]
    return [part.get_content().replace("\r\n", "\n") for part in parts]


@pytest.mark.req("B13")
def test_in_the_main_parts_only() -> None:
    plain, html, other, attached = texts(shown(ALTERNATIVE))
    assert plain.startswith("Subject: the plan\n\nHello")
    assert "<body class='x'><div class=\"header-protection-legacy-display\"><pre>Subject: the plan</pre></div>" in html
    assert (other, attached) == ("not the main text", "an attachment")
    marks = [part.get_param("hp-legacy-display") for part in mail(shown(ALTERNATIVE)).walk()]
    assert marks == [None, None, "1", "1", None, None]


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("content", "subject"),
    [
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n", "Gr\xfc\xdfe"),
        (b"\r\nHello\r\n", "Gr\xfc\xdfe"),
        (b'Content-Type: text/plain; charset="US-ASCII"; format=flowed\r\n\r\nHello\r\n', "Gr\xfc\xdfe"),
        (b"Content-Type: text/plain\r\n\r\nHello\r\n", "\u4f60\u597d"),
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\nHell\xf6\r\n", "Gr\xfc\xdfe"),
        (
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8K\r\n",
            "Gr\xfc\xdfe",
        ),
        (
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
            b"Hell=C3=B6=\r\n!",
            "a=b",
        ),
    ],
)
def test_the_subject_is_readable_in_any_text(content: bytes, subject: str) -> None:
    (text,) = texts(shown(content, subject))
    assert text.startswith(f"Subject: {subject}\n\nHell")
    (again,) = texts(removed(shown(content, subject)))
    assert again == texts(content)[0]


@pytest.mark.req("B13")
def test_a_subject_is_no_markup() -> None:
    _, html, *_ = texts(shown(ALTERNATIVE, "<script>&"))
    assert "<pre>Subject: &lt;script&gt;&amp;</pre>" in html


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: text/plain; charset=utf-16\r\n\r\nHello\r\n",
        b"Content-Type: text/plain; charset=nothing\r\n\r\nHello\r\n",
        b"Content-Type: image/png\r\n\r\nHello\r\n",
        b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nHello\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nHello\r\n",
        b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n"
        b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nHello\r\n--s\r\n\r\nx\r\n--s--\r\n--m--\r\n",
        b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: text/plain\r\n--m--\r\n",
    ],
)
def test_where_it_cannot_be_shown_the_body_stays(content: bytes) -> None:
    entity = shown(content)
    assert Message(entity).body.tobytes() == Message(content).body.tobytes()
    assert b"legacy-display" not in entity


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b"Subject: the plan\r\n\r\nHello\r\n", b"Hello\r\n"),
        (b"Subject: the\r\n plan\r\nFrom: a@b.example\r\n\r\nHello\r\n", b"Hello\r\n"),
        (b"Subject: the plan\n\nHello\n", b"Hello\n"),
        (b"Hello, here is no field\r\n\r\nbye\r\n", None),
        (b"Subject: x\r\nHello\r\n\r\nbye\r\n", None),
        (b"Subject: x\r\n" * 30 + b"\r\nHello\r\n", None),
    ],
)
def test_only_lines_of_fields_are_taken_away(body: bytes, left: bytes | None) -> None:
    content = b'Content-Type: text/plain; hp="cipher"; hp-legacy-display="1"\r\n\r\n'
    found = Message(removed(content + body))
    assert found.body.tobytes() == (body if left is None else left)


@pytest.mark.req("B13")
@pytest.mark.parametrize(
    ("body", "left"),
    [
        (
            b'<body>\r\n<div class="header-protection-legacy-display">\r\n<pre>S</pre>\r\n</div>\r\n<p>Hi',
            b"<body>\r\n<p>Hi",
        ),
        (b"<div class=header-protection-legacy-display>S</div><p>Hi", b"<p>Hi"),
        (b'<body><p>Hi<div class="header-protection-legacy-display">S</div>', None),
        (b'<body><div class="other">S</div><p>Hi', None),
        (b'<body><div class="header-protection-legacy-display"><div>S</div></div><p>Hi', None),
        (b'<body><div class="header-protection-legacy-display">S', None),
    ],
)
def test_only_the_first_element_is_taken_away(body: bytes, left: bytes | None) -> None:
    content = b'Content-Type: text/html; hp-legacy-display="1"; hp="cipher"\r\n\r\n'
    assert Message(removed(content + body)).body.tobytes() == (body if left is None else left)


@pytest.mark.req("B13")
def test_without_the_parameter_nothing_is_taken_away() -> None:
    for kind in (b"text/plain", b'text/plain; hp="cipher"', b'text/plain; hp-legacy-display="0"; hp="cipher"'):
        entity = b"Content-Type: " + kind + b"\r\n\r\nSubject: the plan\r\n\r\nHello\r\n"
        assert Message(removed(entity)).body.tobytes() == Message(entity).body.tobytes()


@pytest.mark.req("B13")
def test_the_older_part_of_its_own() -> None:
    entity = (
        b'Content-Type: multipart/mixed; boundary=6ae; protected-headers="v1"\r\nSubject: s\r\n\r\n--6ae\r\n'
        b'content-type: text/plain; protected-headers="v1"\r\nContent-Disposition: inline\r\n\r\nSubject: s\r\n\r\n'
        b"--6ae\r\nContent-Type: text/plain\r\n\r\nHello\r\n--6ae--\r\n"
    )
    assert texts(removed(entity)) == ["Hello"]
    other = entity.replace(b"\r\n\r\nSubject: s\r\n", b"\r\n\r\nSome text of a person\r\n")
    assert removed(other) == other


@pytest.mark.req("B13")
@given(st.binary(max_size=400), st.sampled_from(("text/plain", "text/html", "multipart/mixed; boundary=x")))
def test_any_octets(body: bytes, kind: str) -> None:
    entity = f'Content-Type: {kind}; hp="cipher"; hp-legacy-display="1"\r\n\r\n'.encode() + body
    assert Message(entity).body.tobytes().endswith(Message(removed(entity)).body.tobytes()[-20:])
    assert shown(f"Content-Type: {kind}\r\n\r\n".encode() + body)
