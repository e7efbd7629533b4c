"""The grammar of commands: what is taken, what is refused and with which reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.mail import reply
from letterlock.mail.reply import Reply
from letterlock.smtp import syntax
from letterlock.smtp.syntax import CommandRefused


def refusal(call: object, *arguments: object, **named: object) -> Reply:
    with pytest.raises(CommandRefused) as caught:
        call(*arguments, **named)  # type: ignore[operator]  # any of the parsers
    return caught.value.reply


@pytest.mark.parametrize(
    ("argument", "sender"),
    [
        ("FROM:<>", ""),
        ("from:<a@b.test>", "a@b.test"),
        ("FROM: <a@b.test>", "a@b.test"),
        ('FROM:<"a b>c"@b.test> SIZE=1', '"a b>c"@b.test'),
        ('FROM:<"a\\"b"@b.test>', '"a\\"b"@b.test'),
        ('FROM:<"plain"@b.test>', "plain@b.test"),
        ("FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("FROM:<a@[IPv6:2001:DB8::1]>", "a@[IPv6:2001:db8::1]"),
    ],
)
def test_senders(argument: str, sender: str) -> None:
    assert str(syntax.mail(argument).sender or "") == sender


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        ("", reply.BAD_ARGUMENTS),
        ("TO:<a@b.test>", reply.BAD_ARGUMENTS),
        ("FROM:a@b.test", reply.BAD_SENDER),
        ("FROM:<a@b.test", reply.BAD_SENDER),
        ('FROM:<"a@b.test>', reply.BAD_SENDER),
        ("FROM:<a@b.test>SIZE=1", reply.BAD_SENDER),
        ("FROM:<a>", reply.BAD_SENDER),
        ("FROM:<a@@b.test>", reply.BAD_SENDER),
        ("FROM:<@x.test:a@b.test>", reply.SOURCE_ROUTE),
        ("FROM:<@x.test,@y.test:a@b.test>", reply.SOURCE_ROUTE),
        ("FROM:<a@b.test> FOO=1", reply.BAD_PARAMETER),
        ("FROM:<a@b.test> AUTH=<>", reply.BAD_PARAMETER),
        ("FROM:<a@b.test> SIZE=x", reply.BAD_ARGUMENTS),
        ("FROM:<a@b.test> SIZE", reply.BAD_ARGUMENTS),
        ("FROM:<a@b.test> SIZE=1 SIZE=1", reply.BAD_ARGUMENTS),
        ("FROM:<a@b.test> SIZE==1", reply.BAD_ARGUMENTS),
        ("FROM:<a@b.test> SIZE=999999999999999999999", reply.BAD_ARGUMENTS),
        ("FROM:<a@b.test> BODY=BINARYMIME", reply.BAD_ARGUMENTS),
        ("FROM:<a@b.test> SMTPUTF8=1", reply.BAD_ARGUMENTS),
        ("FROM:<a@b.test> RET=ALL", reply.BAD_ARGUMENTS),
        ("FROM:<a@b.test> ENVID=" + "x" * 101, reply.BAD_ARGUMENTS),
        ("FROM:<a@b.test> ENVID=a+3", reply.BAD_XTEXT),
        ("FROM:<ö@b.test>", reply.UTF8_NEEDED),
        ("FROM:<a@ö.test>", reply.UTF8_NEEDED),
    ],
)
def test_refused_senders(argument: str, answer: Reply) -> None:
    assert refusal(syntax.mail, argument) == answer


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        ("TO:<>", reply.BAD_RECIPIENT),
        ("TO:<a@b.test> NOTIFY=NEVER,DELAY", reply.BAD_ARGUMENTS),
        ("TO:<a@b.test> NOTIFY=DELAY,DELAY", reply.BAD_ARGUMENTS),
        ("TO:<a@b.test> NOTIFY=", reply.BAD_ARGUMENTS),
        ("TO:<a@b.test> NOTIFY", reply.BAD_ARGUMENTS),
        ("TO:<a@b.test> ORCPT=a@b.test", reply.BAD_ARGUMENTS),
        ("TO:<a@b.test> ORCPT=rfc822;", reply.BAD_ARGUMENTS),
        ("TO:<a@b.test> ORCPT", reply.BAD_ARGUMENTS),
        ("TO:<a@b.test> SIZE=1", reply.BAD_PARAMETER),
        ("TO:<@r.test:a@b.test>", reply.SOURCE_ROUTE),
        ("TO:<a@b..test>", reply.BAD_RECIPIENT),
    ],
)
def test_refused_recipients(argument: str, answer: Reply) -> None:
    assert refusal(syntax.recipient, argument, smtputf8=False) == answer


@pytest.mark.req("A22")
@pytest.mark.parametrize(
    "code", ["+00", "+0A", "+0D", "+0D+0A", "+1B", "+7F", "+C2+85", "+FF", "+0d", "+", "=", "+E2+80+A8"]
)
def test_xtext_that_hides_something_is_501(code: str) -> None:
    assert refusal(syntax.mail, f"FROM:<a@b.test> ENVID=x{code}y").code == 501
    assert refusal(syntax.recipient, f"TO:<a@b.test> ORCPT=rfc822;a{code}@b.test", smtputf8=False).code == 501


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF)).filter(str.isprintable))
def test_xtext_comes_back(text: str) -> None:
    encoded = syntax.to_xtext(text)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert " " not in encoded
    assert syntax.from_xtext(encoded) == text


def test_orcpt_of_type_utf8_only_inside_smtputf8() -> None:
    argument = "TO:<ö@b.test> ORCPT=utf-8;ö@b.test"
    assert refusal(syntax.recipient, argument, smtputf8=False) == reply.UTF8_NEEDED
    assert syntax.recipient(argument, smtputf8=True).orcpt == "utf-8;ö@b.test"


def test_bdat() -> None:
    assert syntax.chunk("10") == (10, False)
    assert syntax.chunk("0 last") == (0, True)
    for wrong in ("", "x", "-1", "+1", "1 FIRST", "1 LAST LAST", "1  LAST", "٣"):
        assert refusal(syntax.chunk, wrong) == reply.BAD_ARGUMENTS


@given(st.text(max_size=80))
def test_no_argument_raises_anything_else(argument: str) -> None:
    for call in (
        lambda: syntax.mail(f"FROM:{argument}"),
        lambda: syntax.mail(f"FROM:<{argument}> SMTPUTF8"),
        lambda: syntax.recipient(f"TO:<{argument}>", smtputf8=True),
        lambda: syntax.mail(f"FROM:<a@b.test> {argument}"),
        lambda: syntax.recipient(f"TO:<a@b.test> {argument}", smtputf8=False),
        lambda: syntax.forwarded(argument),
        lambda: syntax.chunk(argument),
    ):
        try:
            call()
        except CommandRefused as error:
            assert error.reply.code >= 500
