"""The client's protocol: parameters only where announced, one answer per recipient, pipelining, and odd servers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.mail.envelope import Recipient
from letterlock.smtp.answers import Answer, AnswerInvalid, AnswerReader
from letterlock.smtp.client import ClientSession, ConnectionBroke, Exchange, Job, Phase, Unconfirmed

ALL = "250-hop.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n"
LITTLE = "250 hop.test\r\n"
BOB, CAROL = Recipient("bob@b.test"), Recipient("carol@c.test")


def job(*recipients: Recipient, content: bytes = b"x\r\n", **more: Any) -> Job:
    return Job("alice@a.test", recipients or (BOB,), lambda: [content], len(content), **more)


class Talk:
    """A session with a server that says what the test says."""

    def __init__(self, hello: str = ALL) -> None:
        self.wanted: list[Exchange] = []
        self.done: list[Exchange] = []
        self.session = ClientSession("client.test", self.wanted.append)
        self.session.greeting(lambda answer: None)
        self.hear("220 hop.test\r\n")
        self.session.hello(lambda answer: None)
        assert self.said() == "EHLO client.test\r\n"
        self.hear(hello)

    def hear(self, text: str) -> None:
        self.session.receive(text.encode())

    def said(self) -> str:
        return b"".join(bytes(piece) for piece in self.session.take()).decode()

    def begin(self, work: Job) -> Exchange:
        exchange = Exchange(work, self.done.append)
        self.session.begin(exchange)
        return exchange

    def codes(self, exchange: Exchange) -> list[int | None]:
        return [answer and answer.code for answer in exchange.answers]


@pytest.mark.req("A1", "A22")
def test_parameters_go_to_a_server_that_announced_them() -> None:
    talk = Talk()
    recipients = (
        Recipient("bob@b.test", ("SUCCESS", "DELAY"), "rfc822;Bob+x@B.test"),
        Recipient("ö@c.test", ("NEVER",), "utf-8;ö@c.test"),
    )
    talk.begin(job(*recipients, body="8BITMIME", ret="HDRS", envid="a b+c=d"))
    assert talk.said().splitlines() == [
        "MAIL FROM:<alice@a.test> SIZE=3 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+20b+2Bc+3Dd",
        "RCPT TO:<bob@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@B.test",
        "RCPT TO:<ö@c.test> NOTIFY=NEVER ORCPT=utf-8;ö@c.test",
        "DATA",
    ]


@pytest.mark.req("A1", "A22")
def test_no_parameters_to_a_server_that_announced_none() -> None:
    talk = Talk(LITTLE)
    talk.begin(job(Recipient("bob@b.test", ("SUCCESS",), "rfc822;x@y.test"), ret="FULL", envid="x", body="8BITMIME"))
    assert talk.said() == "MAIL FROM:<alice@a.test>\r\n"
    talk.hear("250 ok\r\n")
    assert talk.said() == "RCPT TO:<bob@b.test>\r\n"
    talk.hear("250 ok\r\n")
    assert talk.said() == "DATA\r\n"


@pytest.mark.parametrize(
    ("hello", "work", "status"),
    [
        (LITTLE, job(content="ö\r\n".encode(), body="8BITMIME"), "5.6.3"),
        (LITTLE, job(content="Subject: ö\r\n\r\n".encode(), smtputf8=True), "5.6.7"),
        (LITTLE, job(Recipient("ö@c.test")), "5.6.7"),
        (ALL, job(content=b"x" * 999 + b"\r\n"), "5.3.4"),
        (ALL, job(Recipient("a@b.test>\r\nRSET")), "5.1.3"),
        (ALL, Job("a@b.test> SIZE=1", (BOB,), lambda: [b""], 0), "5.1.3"),
    ],
)
def test_what_the_server_cannot_take_is_refused_before_mail(hello: str, work: Job, status: str) -> None:
    talk = Talk(hello)
    exchange = talk.begin(work)
    assert talk.said() == ""
    assert exchange.error is not None
    assert (exchange.error.permanent, exchange.error.status) == (True, status)


@pytest.mark.parametrize("work", [job(body="8BITMIME"), job(smtputf8=True)])
def test_ascii_content_needs_no_extension(work: Job) -> None:
    talk = Talk(LITTLE)
    talk.begin(work)
    assert talk.said() == "MAIL FROM:<alice@a.test>\r\n"


@pytest.mark.req("A12")
def test_one_answer_per_recipient() -> None:
    talk = Talk()
    dave = Recipient("dave@d.test")
    exchange = talk.begin(job(BOB, CAROL, dave))
    talk.hear("250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n452 4.2.2 full\r\n354 go\r\n")
    assert talk.wanted == [exchange]
    assert exchange.phase is Phase.CONTENT
    talk.session.end(exchange)
    assert talk.done == []
    talk.hear("250 2.0.0 taken\r\n")
    assert talk.done == [exchange]
    assert exchange.answers == [
        Answer(250, ("2.0.0 taken",)),
        Answer(550, ("5.1.1 no", "5.1.1 such user")),
        Answer(452, ("4.2.2 full",)),
    ]


@pytest.mark.req("A12")
@pytest.mark.parametrize(
    ("replies", "codes", "says"),
    [
        ("550 no\r\n503 x\r\n503 x\r\n503 x\r\n", [550, 550], ""),
        ("250 ok\r\n550 no\r\n551 no\r\n554 none\r\n", [550, 551], ""),
        ("250 ok\r\n550 no\r\n551 no\r\n354 go\r\n", [550, 551], ".\r\n"),
        ("250 ok\r\n250 ok\r\n551 no\r\n451 later\r\n", [451, 551], ""),
        ("250 ok\r\n250 ok\r\n551 no\r\n250 odd\r\n", [451, 551], ""),
    ],
)
def test_refusals_before_content(replies: str, codes: list[int | None], says: str) -> None:
    talk = Talk()
    exchange = talk.begin(job(BOB, CAROL))
    talk.said()
    talk.hear(replies)
    assert talk.wanted == []
    assert talk.said() == says
    assert talk.done == [exchange]
    assert talk.codes(exchange) == codes


def test_a_good_bye_to_mail_has_touched_nothing() -> None:
    talk = Talk()
    exchange = talk.begin(job(BOB, CAROL))
    talk.hear("421 4.3.2 bye\r\n")
    assert talk.session.closing
    talk.session.lost()
    assert talk.done == [exchange]
    assert not exchange.touched
    assert talk.codes(exchange) == [421, 421]


def test_a_transaction_left_open_is_reset_before_the_next() -> None:
    talk = Talk()
    talk.begin(job())
    talk.said()
    talk.hear("250 ok\r\n550 no\r\n554 none\r\n")
    talk.begin(job())
    assert talk.said().startswith("RSET\r\nMAIL")
    talk.hear("250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert len(talk.wanted) == 1


@pytest.mark.req("A12")
def test_without_pipelining_step_by_step() -> None:
    talk = Talk(LITTLE)
    exchange = talk.begin(job(BOB, CAROL))
    said = []
    for answer in ("250 ok\r\n", "550 no\r\n", "250 ok\r\n", "354 go\r\n"):
        said.append(talk.said())
        talk.hear(answer)
    assert said == [
        "MAIL FROM:<alice@a.test>\r\n",
        "RCPT TO:<bob@b.test>\r\n",
        "RCPT TO:<carol@c.test>\r\n",
        "DATA\r\n",
    ]
    talk.session.end(exchange)
    talk.hear("250 taken\r\n")
    assert talk.codes(exchange) == [550, 250]
    refused = talk.begin(job(BOB, CAROL))
    talk.hear("250 ok\r\n550 no\r\n")
    talk.hear("550 no\r\n")
    assert talk.codes(refused) == [550, 550]
    assert refused in talk.done
    assert "DATA" not in talk.said()
    sender = talk.begin(job(BOB))
    talk.hear("250 reset\r\n")
    talk.hear("553 no\r\n")
    assert talk.codes(sender) == [553]


@pytest.mark.req("A1")
def test_the_next_envelope_rides_behind_the_dot() -> None:
    talk = Talk()
    first = talk.begin(job())
    talk.said()
    talk.hear("250 ok\r\n250 ok\r\n354 go\r\n")
    talk.session.end(first)
    second = talk.begin(job(CAROL))
    assert talk.said() == "MAIL FROM:<alice@a.test> SIZE=3\r\nRCPT TO:<carol@c.test>\r\nDATA\r\n"
    talk.hear("250 first\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert talk.codes(first) == [250]
    assert talk.wanted == [first, second]


def test_a_lost_connection_says_what_is_known() -> None:
    talk = Talk()
    first = talk.begin(job())
    talk.hear("250 ok\r\n250 ok\r\n354 go\r\n")
    talk.session.end(first)
    second = talk.begin(job(CAROL))
    talk.session.lost()
    assert isinstance(first.error, Unconfirmed)
    assert isinstance(second.error, ConnectionBroke)
    assert not second.touched
    assert talk.done == [first, second]
    talk = Talk()
    touched = talk.begin(job())
    talk.hear("250 ok\r\n")
    talk.session.lost()
    assert touched.touched
    assert isinstance(touched.error, ConnectionBroke)


@pytest.mark.parametrize(
    "text",
    ["hello\r\n", "25 ok\r\n", "2500 ok\r\n", "150 ok\r\n", "250-a\r\n251 b\r\n", "250" + "x" * 3000 + "\r\n", "2" * 3000,
     "250-x\r\n" * 300, "\r\n", "250ok\r\n", "250 a\rb\r\n"],
)  # fmt: skip
def test_what_is_not_a_reply_ends_the_connection(text: str) -> None:
    with pytest.raises(AnswerInvalid):
        list(AnswerReader().feed(text.encode()))


def test_a_reply_to_nothing_ends_the_connection_unless_it_is_421() -> None:
    talk = Talk()
    talk.hear("421 4.3.2 going down\r\n")
    assert talk.session.closing
    with pytest.raises(AnswerInvalid):
        talk.hear("250 what\r\n")


@pytest.mark.req("A2")
@pytest.mark.parametrize("behind", ["2", "250 x\r\n", "250-x\r\n", "\r\n"])
def test_input_behind_the_answer_to_starttls_ends_the_connection(behind: str) -> None:
    talk = Talk("250-hop.test\r\n250 STARTTLS\r\n")
    answers: list[Answer] = []
    talk.session.starttls(answers.append)
    with pytest.raises(AnswerInvalid):
        talk.hear(f"220 go\r\n{behind}")


def test_replies_end_with_lf_too_and_need_no_text() -> None:
    assert list(AnswerReader().feed(b"250-a\n250\r\n354\n")) == [Answer(250, ("a", "")), Answer(354, ("",))]


@given(st.integers(1, 40))
def test_replies_come_in_any_pieces(size: int) -> None:
    octets = b"250-a b\r\n250-c\r\n250 d\r\n354 go\r\n550 5.1.1 x\r\n"
    reader, found = AnswerReader(), []
    for at in range(0, len(octets), size):
        found += list(reader.feed(octets[at : at + size]))
    assert found == [Answer(250, ("a b", "c", "d")), Answer(354, ("go",)), Answer(550, ("5.1.1 x",))]


@given(st.binary(max_size=200))
def test_noise_is_a_reply_or_ends_the_connection(noise: bytes) -> None:
    try:
        for answer in AnswerReader().feed(noise):
            assert 200 <= answer.code < 600
    except AnswerInvalid:
        return


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_no_text_from_an_envelope_makes_a_second_command(sender: str, recipient: str, orcpt: str) -> None:
    talk = Talk()
    work = Job(sender, (Recipient(recipient, (), f"rfc822;{orcpt}"),), lambda: [b""], 0, envid=orcpt)
    talk.begin(work)
    said = talk.said()
    assert said == "" or re.fullmatch(r"MAIL FROM:<[^\r\n]*\r\nRCPT TO:<[^\r\n]*\r\nDATA\r\n", said)
