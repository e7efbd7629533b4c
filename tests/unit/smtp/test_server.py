"""The server's protocol: commands, pipelining, DSN, chunks, TLS, XFORWARD, limits, and its behaviour when things fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.mail import limits, reply
from letterlock.smtp.door import Profile, State
from tests.fakes.door import REFUSED, Away, Dialogue

MAIL = "MAIL FROM:<alice@a.test>"
RCPT = "RCPT TO:<bob@b.test>"


@pytest.mark.req("A1")
def test_extensions_are_announced_and_only_those_that_are_there() -> None:
    lines = Dialogue(hello=False).say("EHLO client.test")
    assert [line[4:] for line in lines] == [
        "mx.test", "PIPELINING", f"SIZE {limits.MAX_MESSAGE_OCTETS}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES",
        "CHUNKING", "DSN",
    ]  # fmt: skip
    more = Dialogue(profile=Profile("mx.test", starttls=True, xforward=True), hello=False).say("EHLO client.test")
    assert more[-2:] == ["250-STARTTLS", "250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"]


@pytest.mark.req("A1")
def test_a_message_by_data() -> None:
    dialogue = Dialogue()
    assert dialogue.greeting == b"220 mx.test ESMTP Letterlock\r\n"
    assert dialogue.send(b"Subject: x\r\n\r\n..stuffed\r\n") == ["250 2.0.0 Accepted"]
    assert dialogue.taken == [b"Subject: x\r\n\r\n.stuffed\r\n"]
    assert dialogue.say("QUIT") == ["221 2.0.0 Bye"]
    assert dialogue.session.closed


@given(st.integers(1, 300))
def test_any_cut_of_the_stream_gives_the_same_conversation(size: int) -> None:
    one = b"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
    body = b"Subject: cut\r\n\r\n..x\r\n.\r\n"
    dialogue = Dialogue()
    said = b"".join(dialogue.feed(part, size) for part in (one, body + one, body + b"QUIT\r\n"))
    codes = [line[:3] for line in said.splitlines()]
    assert codes == [b"250", b"250", b"354", b"250"] * 2 + [b"221"]
    assert dialogue.taken == [b"Subject: cut\r\n\r\n.x\r\n"] * 2


@pytest.mark.req("A1")
def test_a_burst_is_answered_together_and_the_next_message_rides_with_the_dot() -> None:
    dialogue = Dialogue()
    assert dialogue.codes(MAIL, RCPT, "RCPT TO:<carol@c.test>", "DATA") == [250, 250, 250, 354]
    said = dialogue.feed(b"first\r\n.\r\n" + f"{MAIL}\r\n{RCPT}\r\nDATA\r\n".encode())
    assert [int(line[:3]) for line in said.splitlines()] == [250, 250, 250, 354]
    dialogue.feed(b"second\r\n.\r\n")
    assert dialogue.taken == [b"first\r\n", b"second\r\n"]


def test_commands_wait_while_a_message_is_being_accepted() -> None:
    dialogue = Dialogue()
    dialogue.door.answer_at_once = None
    dialogue.codes(MAIL, RCPT, "DATA")
    assert dialogue.feed(b"x\r\n.\r\nMAIL FROM:<c@c.test>\r\n") == b""
    assert dialogue.session.state is State.WAITING
    assert dialogue.session.patience == 0
    assert dialogue.feed(b"RCPT TO:<d@d.test>\r\n") == b""
    assert dialogue.session.held == len(b"MAIL FROM:<c@c.test>\r\nRCPT TO:<d@d.test>\r\n")
    dialogue.session.answer(reply.ACCEPTED)
    assert [int(line[:3]) for line in dialogue.session.take().splitlines()] == [250, 250, 250]


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ([MAIL, MAIL], [250, 503]),
        ([RCPT], [503]),
        (["DATA"], [503]),
        ([MAIL, "DATA"], [250, 554]),
        ([MAIL, RCPT, "RSET", "DATA"], [250, 250, 250, 503]),
        ([MAIL, RCPT, "EHLO again.test", "DATA"], [250, 250, 250, 503]),
        (["VRFY bob", "EXPN list", "HELP", "NOOP x", "TURN", "AUTH PLAIN"], [252, 502, 214, 250, 502, 502]),
        (["mail from:<alice@a.test> size=10 body=8bitmime", "rcpt to:<bob@b.test>"], [250, 250]),
        (["FROBNICATE"], [500]),
        (["EHLO", "EHLO two words"], [501, 501]),
        (["MAIL FROM:<alice@a.test> SIZE=99999999999"], [552]),
        (["XFORWARD ADDR=192.0.2.1", "XCLIENT ADDR=192.0.2.1"], [502, 502]),
        (["STARTTLS"], [502]),
        (["RCPT TO:<Postmaster>", MAIL, "RCPT TO:<postMASTER>"], [503, 250, 250]),
        ([MAIL, "RCPT TO:<>"], [250, 501]),
        (["MAIL FROM:<>", "RCPT TO:<bob@b.test>"], [250, 250]),
    ],
)
def test_sequences(lines: list[str], codes: list[int]) -> None:
    assert Dialogue().codes(*lines) == codes


def test_nothing_before_hello() -> None:
    assert Dialogue(hello=False).codes(MAIL, "HELO me", MAIL) == [503, 250, 250]


@pytest.mark.req("A22")
def test_dsn_parameters_arrive_decoded() -> None:
    dialogue = Dialogue()
    dialogue.say(
        "MAIL FROM:<alice@a.test> RET=HDRS ENVID=QQ+2B314",
        "RCPT TO:<bob@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+40B.test",
        "RCPT TO:<carol@c.test> NOTIFY=NEVER",
        "RCPT TO:<bob@b.test> NOTIFY=FAILURE",
        "DATA",
    )
    transaction = dialogue.door.sinks[0].transaction
    assert (transaction.mail.ret, transaction.mail.envid) == ("HDRS", "QQ+314")
    bob, carol = transaction.recipients.values()  # bob twice is bob once
    assert (bob.address, bob.notify, bob.orcpt) == ("bob@b.test", ("SUCCESS", "DELAY"), "rfc822;Bob@B.test")
    assert (carol.notify, carol.orcpt) == (("NEVER",), "")


def test_addresses_outside_ascii_need_smtputf8_and_domains_become_a_labels() -> None:
    dialogue = Dialogue()
    assert dialogue.codes("MAIL FROM:<jürgen@bücher.test>", MAIL, "RCPT TO:<bob@bücher.test>") == [553, 250, 553]
    assert dialogue.codes("RSET", "MAIL FROM:<jürgen@bücher.test> SMTPUTF8", "RCPT TO:<ö@BÜCHER.test>", "DATA") == [
        250,
        250,
        250,
        354,
    ]
    transaction = dialogue.door.sinks[0].transaction
    assert str(transaction.mail.sender) == "jürgen@xn--bcher-kva.test"
    assert list(transaction.recipients) == ["ö@xn--bcher-kva.test"]


@pytest.mark.req("A1")
def test_a_message_by_chunks() -> None:
    dialogue = Dialogue()
    begin = f"{MAIL}\r\n{RCPT}\r\nBDAT 12\r\nSubject: x\r\n".encode()
    said = dialogue.feed(begin + b"BDAT 4\r\n\r\n.\rBDAT 3 LAST\r\n\nx\n")
    assert said.splitlines()[-1][:10] == b"550 5.6.11"
    said = dialogue.feed(begin + b"BDAT 6 LAST\r\n\r\n.\r\n.QUIT\r\n")
    assert [int(line[:3]) for line in said.splitlines()] == [250, 250, 250, 250, 221]
    assert dialogue.taken == [b"Subject: x\r\n\r\n.\r\n."]


def test_chunks_in_the_wrong_place_are_read_and_refused() -> None:
    dialogue = Dialogue()
    assert dialogue.codes("BDAT 9 LAST", "NOOP ab", "NOOP") == [503, 250]
    dialogue.codes(MAIL)
    dialogue.door.refuse["bob@b.test"] = REFUSED
    assert dialogue.codes(RCPT, "BDAT 6", "RSET", "BDAT 6 LAST", "RSET", "NOOP") == [550, 554, 554, 250]
    assert dialogue.codes(MAIL, "RCPT TO:<c@c.test>", "BDAT 0", "DATA") == [250, 250, 250, 503]
    assert dialogue.codes("RCPT TO:<d@d.test>", "BDAT 0 LAST") == [503, 250]
    dialogue.door.refuse["DATA"] = ValueError("boom")
    assert dialogue.codes(MAIL, "RCPT TO:<c@c.test>", "BDAT 6 LAST", "RSET", "NOOP") == [250, 250, 451, 250]
    assert isinstance(dialogue.door.faults[0], ValueError)
    assert dialogue.codes("BDAT x") == [501]
    assert dialogue.session.closed


@pytest.mark.req("A14")
def test_chunks_have_the_same_size_limit() -> None:
    dialogue = Dialogue(profile=Profile("mx.test", max_message_octets=100))
    begin = f"{MAIL}\r\n{RCPT}\r\nBDAT 60\r\n".encode()
    said = dialogue.feed(begin + b"x" * 60 + b"BDAT 41 LAST\r\n" + b"y" * 41 + b"NOOP\r\n")
    assert [int(line[:3]) for line in said.splitlines()] == [250, 250, 250, 552, 250]
    assert dialogue.door.sinks[0].abandoned
    assert dialogue.taken == []


def test_recipients_are_limited_and_the_transaction_goes_on() -> None:
    dialogue = Dialogue(profile=Profile("mx.test", max_recipients=2))
    lines = [f"RCPT TO:<r{n}@b.test>" for n in range(40)]
    assert dialogue.codes(MAIL, *lines, "DATA") == [250, 250, 250, *[452] * 38, 354]


def test_many_errors_end_the_connection() -> None:
    dialogue = Dialogue()
    codes = dialogue.codes(*["FROB"] * 30)
    assert codes == [500] * limits.MAX_ERRORS + [421]
    assert dialogue.session.closed
    assert dialogue.feed(b"NOOP\r\n") == b""


def test_idle_commands_end_the_connection_unless_mail_comes_between() -> None:
    dialogue = Dialogue()
    for _ in range(3):
        assert dialogue.codes(*["NOOP"] * 90)[-1] == 250
        dialogue.send()
    assert dialogue.codes(*["NOOP"] * 101)[-1] == 421


def test_command_lines_are_limited() -> None:
    dialogue = Dialogue()
    assert dialogue.say("NOOP " + "x" * limits.MAX_COMMAND_OCTETS) == ["500 5.5.2 Command line too long"]
    said = dialogue.feed(b"y" * (limits.MAX_COMMAND_OCTETS + 1), 1000)
    assert said.startswith(b"500 5.5.2")
    assert dialogue.session.closed


@pytest.mark.parametrize(
    "line", [b"NOOP \x00\r\n", b"NOOP \x07\r\n", b"NOOP \xff\r\n", b"NOOP a\rb\r\n", b"NOOP a\nb\r\n"]
)
def test_command_lines_are_text(line: bytes) -> None:
    dialogue = Dialogue()
    assert dialogue.feed(line).startswith(b"500 5.5.2")
    assert dialogue.codes("NOOP") == [250]


def test_a_line_ended_by_lf_alone_is_no_line() -> None:
    dialogue = Dialogue()
    assert dialogue.feed(b"NOOP\n").startswith(b"500 5.5.2")
    assert dialogue.session.closed
    lenient = Dialogue(profile=Profile("mx.test", normalise=True))
    assert lenient.feed(b"NOOP\nNOOP\r\nNOOP\n") == b"250 2.0.0 Ok\r\n" * 3


def test_a_browser_is_sent_away() -> None:
    dialogue = Dialogue(hello=False)
    said = dialogue.feed(b"POST / HTTP/1.1\r\nHost: mx.test\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.test>\r\n")
    assert said == b"421 4.7.0 This is an SMTP server\r\n"


def test_xforward_counts_for_one_transaction_and_says_nothing_about_rights() -> None:
    dialogue = Dialogue(profile=Profile("mx.test", xforward=True))
    assert dialogue.codes("XFORWARD NAME=spike.test ADDR=192.0.2.9") == [250]
    assert dialogue.codes("XFORWARD HELO=a+2Bb PROTO=[UNAVAILABLE]") == [250]
    assert dialogue.session.forwarded == {"NAME": "spike.test", "ADDR": "192.0.2.9", "HELO": "a+b", "PROTO": ""}
    assert dialogue.codes("XFORWARD WHAT=x", "XFORWARD ADDR=1+0D+0A", MAIL, "XFORWARD ADDR=1") == [501, 501, 250, 503]
    dialogue.codes("RSET")
    assert dialogue.session.forwarded == {}


@pytest.mark.req("A2")
def test_tls_forgets_what_was_said_before() -> None:
    profile = Profile("mx.test", starttls=True)
    dialogue = Dialogue(profile=profile)
    assert dialogue.codes(MAIL, "STARTTLS") == [250, 220]
    assert dialogue.session.state is State.TLS
    assert dialogue.feed(b"MAIL FROM:<evil@e.test>\r\n") == b""
    dialogue.session.tls_started("TLSv1.3 X", "CN=client", profile)
    assert dialogue.codes(RCPT, MAIL) == [503, 503]  # no transaction, no hello
    lines = dialogue.say("EHLO client.test")
    assert "250-STARTTLS" not in lines
    assert lines[-1] == "250 DSN"
    assert dialogue.codes("STARTTLS") == [503]


def test_refusals_of_the_door_become_replies() -> None:
    dialogue = Dialogue()
    dialogue.door.refuse["MAIL"] = Away()
    assert dialogue.say(MAIL) == ["451 4.3.0 Something is away."]
    del dialogue.door.refuse["MAIL"]
    dialogue.door.refuse["bob@b.test"] = REFUSED
    assert dialogue.say(MAIL, RCPT)[1] == "550 5.7.1 Relaying denied"
    dialogue.door.refuse["DATA"] = Away()
    assert dialogue.codes("RCPT TO:<c@c.test>", "DATA") == [250, 451]
    dialogue.codes("RSET")
    dialogue.door.refuse["DATA"] = ValueError("content of a mail")
    said = dialogue.say(MAIL, "RCPT TO:<c@c.test>", "DATA")
    assert said[-1] == "451 4.3.0 Not possible now; try again later"
    assert [type(error) for error in dialogue.door.faults] == [ValueError]


@pytest.mark.parametrize("where", ["write", "finish"])
@pytest.mark.parametrize("error", [Away(), ValueError("secret")])
def test_a_failing_sink_is_a_reply_and_the_rest_is_read(where: str, error: Exception) -> None:
    dialogue = Dialogue()
    dialogue.door.refuse[where] = error
    said = dialogue.send(b"line\r\n" * 1000)
    assert said[0].startswith("451 4.3.0")
    assert "secret" not in said[0]
    assert dialogue.codes("NOOP") == [250]
    del dialogue.door.refuse[where]
    assert dialogue.send()[0].startswith("250")


def test_input_behind_data_is_never_content_nor_commands() -> None:
    dialogue = Dialogue()
    said = dialogue.say(MAIL, RCPT, "DATA", "MAIL FROM:<x@x.test>")
    assert said[-1] == "554 5.5.0 Protocol error: you may not send yet"
    assert dialogue.session.closed


def test_stopping_lets_a_transaction_end() -> None:
    idle = Dialogue()
    idle.session.stop()
    assert idle.session.take().startswith(b"421 4.3.2")
    assert idle.session.closed
    busy = Dialogue()
    busy.codes(MAIL, RCPT)
    busy.session.stop()
    assert busy.codes("DATA") == [354]
    assert [line[:3] for line in busy.feed(b"x\r\n.\r\n").splitlines()] == [b"250", b"421"]
    assert busy.session.closed


def test_a_lost_connection_abandons_what_did_not_end_and_only_that() -> None:
    dialogue = Dialogue()
    dialogue.codes(MAIL, RCPT, "DATA")
    dialogue.feed(b"half")
    dialogue.session.lost()
    assert dialogue.door.sinks[0].abandoned
    waiting = Dialogue()
    waiting.door.answer_at_once = None
    waiting.codes(MAIL, RCPT, "DATA")
    waiting.feed(b"x\r\n.\r\n")
    waiting.session.lost()
    assert not waiting.door.sinks[0].abandoned
    waiting.session.answer(reply.ACCEPTED)
    assert waiting.session.take() == b""


@given(st.binary(max_size=400))
def test_noise_never_raises_and_never_becomes_mail(noise: bytes) -> None:
    dialogue = Dialogue()
    dialogue.feed(noise, 37)
    assert dialogue.taken == []
    assert dialogue.door.faults == []
