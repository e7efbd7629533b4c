"""The fake next hop keeps what a real client gives it and fails where it is told to."""

from __future__ import annotations

import smtplib

import pytest

from tests.fakes.next_hop import NextHop

MESSAGE = b"Subject: hello\r\n\r\n..\r\n.dot\r\nend\r\n"


def _send(hop: NextHop, to: str = "b@x.test") -> None:
    with smtplib.SMTP("127.0.0.1", hop.port, timeout=5) as client:
        client.sendmail("a@x.test", [to], MESSAGE, ["BODY=8BITMIME"])


def test_it_keeps_the_octets() -> None:
    with NextHop() as hop:
        _send(hop)
        arrival = hop.wait_for_recipient("b@x.test")[0]
    assert arrival.octets == MESSAGE
    assert (arrival.sender, arrival.recipients, arrival.mail_parameters) == (
        "a@x.test",
        ("b@x.test",),
        ("size=33", "BODY=8BITMIME"),
    )
    assert arrival.subject == "hello"


@pytest.mark.parametrize("stage", ["ehlo", "mail", "rcpt", "data", "dot"])
def test_a_reply_in_place_of_the_usual(stage: str) -> None:
    with NextHop() as hop:
        hop.fail(stage, reply="451 4.3.0 later", times=2)  # smtplib tries HELO after a refused EHLO
        with pytest.raises(smtplib.SMTPException):
            _send(hop)
        assert not hop.arrivals
        hop.mend()
        _send(hop)
        assert len(hop.arrivals) == 1


@pytest.mark.parametrize("stage", ["connect", "mail", "rcpt", "data", "body", "dot"])
def test_it_breaks_off(stage: str) -> None:
    with NextHop() as hop:
        hop.fail(stage, reset=True, times=1)
        with pytest.raises((smtplib.SMTPException, OSError)):
            _send(hop)
        assert not hop.arrivals
        _send(hop)
        assert len(hop.arrivals) == 1


def test_a_swallowed_message_is_kept_without_an_answer() -> None:
    with NextHop() as hop:
        hop.fail("dot", drop=True, keep=True, times=1)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            _send(hop)
        assert [arrival.answered for arrival in hop.arrivals] == [False]


def test_a_fault_names_its_recipient() -> None:
    with NextHop() as hop:
        hop.fail("rcpt", reply="550 5.1.1 no", recipient="c@x.test")
        _send(hop)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            _send(hop, "c@x.test")
        assert len(hop.arrivals) == 1


def test_closed_it_refuses_and_opens_on_the_same_port() -> None:
    with NextHop() as hop:
        port = hop.port
        hop.close()
        with pytest.raises(OSError):
            _send(hop)
        hop.open()
        assert hop.port == port
        _send(hop)
        assert len(hop.arrivals) == 1
