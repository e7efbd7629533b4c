"""What the server does on each command.

Guarantees
    Each function gets its command's argument without surrounding spaces, and whether the peer had sent more already; it
    says its reply, or raises CommandRefused, or whatever the Door raises.

Standards
    RFC 5321 4.1.1, RFC 2920 3.1 (which command may have input behind it), RFC 3030 2 (BDAT), RFC 3207 (STARTTLS);
    Postfix's XFORWARD_README. VRFY and EXPN tell nobody who has a mailbox here (RFC 5321 7.3).

See also
    ``server.py`` for the states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from letterlock.errors import LetterlockError
from letterlock.mail import reply
from letterlock.mail.envelope import Recipient
from letterlock.mail.reply import Reply
from letterlock.smtp import syntax
from letterlock.smtp.data import HEADROOM, ChunkDecoder, DataDecoder
from letterlock.smtp.door import State, Transaction
from letterlock.smtp.syntax import CommandRefused

if TYPE_CHECKING:
    from letterlock.smtp.server import ServerSession


def _hello(session: ServerSession, argument: str, _more: bool) -> None:
    session.hello = syntax.hello(argument)
    session.extended = False
    session.reset()
    session.idle(Reply(250, "", session.profile.hostname))


def _extended_hello(session: ServerSession, argument: str, _more: bool) -> None:
    session.hello = syntax.hello(argument)
    session.extended = True
    session.reset()
    lines = [session.profile.hostname, "PIPELINING", f"SIZE {session.profile.max_message_octets}"]
    lines += ["8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN"]
    if session.profile.starttls and not session.tls:
        lines.append("STARTTLS")
    if session.profile.xforward:
        lines.append(" ".join(("XFORWARD", *syntax.XFORWARD_NAMES)))
    session.outgoing.append("".join(f"250-{line}\r\n" for line in lines[:-1]).encode("ascii"))
    session.idle(Reply(250, "", lines[-1]))


def _mail(session: ServerSession, argument: str, _more: bool) -> None:
    if not session.hello:
        raise CommandRefused(reply.HELLO_FIRST)
    if session.transaction is not None:
        raise CommandRefused(reply.NESTED_MAIL)
    if session.stopping:
        session.close(reply.SHUTTING_DOWN)
        return
    command = syntax.mail(argument)
    session.door.mail(command)
    if command.size > session.profile.max_message_octets:
        raise CommandRefused(reply.TOO_BIG)
    session.transaction = Transaction(command)
    session.say(reply.SENDER_OK)


def _recipient(session: ServerSession, argument: str, _more: bool) -> None:
    transaction = session.transaction
    if transaction is None:
        raise CommandRefused(reply.MAIL_FIRST)
    if session.decoder is not None:
        raise CommandRefused(reply.BAD_SEQUENCE)
    if len(transaction.recipients) >= session.profile.max_recipients:
        raise CommandRefused(reply.TOO_MANY_RECIPIENTS)
    command = syntax.recipient(argument, smtputf8=transaction.mail.smtputf8)
    address = str(session.door.recipient(command.address))
    if address not in transaction.recipients:
        transaction.recipients[address] = Recipient(address, command.notify, command.orcpt)
    session.say(reply.RECIPIENT_OK)


def _ready_for_content(session: ServerSession) -> Transaction:
    if session.transaction is None:
        raise CommandRefused(reply.MAIL_FIRST)
    if not session.transaction.recipients:
        raise CommandRefused(reply.NO_VALID_RECIPIENTS)
    return session.transaction


def _data(session: ServerSession, argument: str, more: bool) -> None:
    if more:  # RFC 2920 3.1: DATA is the last of a group; what follows could be content meant as commands
        session.close(reply.OUT_OF_STEP)
        return
    if argument:
        raise CommandRefused(reply.BAD_ARGUMENTS)
    if session.decoder is not None:
        raise CommandRefused(reply.BAD_SEQUENCE)
    session.sink = session.door.content(_ready_for_content(session))
    session.decoder = DataDecoder(session.write, session.profile)
    session.state = State.DATA
    session.say(reply.SEND_CONTENT)


def _chunk(session: ServerSession, argument: str, _more: bool) -> None:
    try:
        size, last = syntax.chunk(argument)
    except CommandRefused as error:
        session.close(error.reply)  # nobody knows how many octets follow that are no commands
        return
    decoder = session.decoder
    if not isinstance(decoder, ChunkDecoder):
        decoder = ChunkDecoder(session.write, session.profile)
        try:
            session.sink = session.door.content(_ready_for_content(session))
        except LetterlockError as error:  # the octets come all the same (RFC 3030 2)
            decoder.refuse(syntax.reply_of(error))
        except Exception as error:
            session.door.fault(error)
            decoder.refuse(reply.NOT_NOW)
        session.decoder = decoder
    decoder.begin(size, last)
    if decoder.hopeless:  # so many octets are not worth waiting for, and nothing else would be heard meanwhile
        fault = decoder.fault or reply.TOO_BIG
        session.door.refused(fault)
        session.close(fault)
        return
    session.state = State.CHUNK
    if not size:
        session.content(bytearray(HEADROOM), HEADROOM, HEADROOM)


def _reset(session: ServerSession, _argument: str, _more: bool) -> None:
    session.reset()
    session.idle(reply.OK)


def _starttls(session: ServerSession, argument: str, more: bool) -> None:
    if more:  # RFC 3207 6: what came with it was said by whoever sits in between
        session.close(reply.OUT_OF_STEP)
        return
    if argument:
        raise CommandRefused(reply.BAD_ARGUMENTS)
    if session.tls:
        raise CommandRefused(reply.TLS_ALREADY)
    if not session.profile.starttls:
        raise CommandRefused(reply.NOT_IMPLEMENTED)
    session.reset()
    session.state = State.TLS
    session.say(reply.READY_FOR_TLS)


def _xforward(session: ServerSession, argument: str, _more: bool) -> None:
    if not session.profile.xforward:
        raise CommandRefused(reply.NOT_IMPLEMENTED)
    if session.transaction is not None:
        raise CommandRefused(reply.BAD_SEQUENCE)
    session.forwarded = {**session.forwarded, **syntax.forwarded(argument)}
    session.say(reply.OK)


def _verify(session: ServerSession, argument: str, _more: bool) -> None:
    if not argument:
        raise CommandRefused(reply.BAD_ARGUMENTS)
    session.idle(reply.CANNOT_VERIFY)


def _quit(session: ServerSession, _argument: str, _more: bool) -> None:
    session.close(reply.BYE)


def _idle_answer(answer: Reply) -> Callable[[ServerSession, str, bool], None]:
    return lambda session, _argument, _more: session.idle(answer)


def _not_implemented(_session: ServerSession, _argument: str, _more: bool) -> None:
    raise CommandRefused(reply.NOT_IMPLEMENTED)


def _not_smtp(session: ServerSession, _argument: str, _more: bool) -> None:
    """A browser was made to speak to us; the body of its request must not be read as commands."""
    session.close(reply.NOT_SMTP)


HANDLERS: dict[str, Callable[[ServerSession, str, bool], None]] = {
    "EHLO": _extended_hello,
    "HELO": _hello,
    "MAIL": _mail,
    "RCPT": _recipient,
    "DATA": _data,
    "BDAT": _chunk,
    "RSET": _reset,
    "NOOP": _idle_answer(reply.OK),
    "HELP": _idle_answer(reply.HELP),
    "VRFY": _verify,
    "STARTTLS": _starttls,
    "XFORWARD": _xforward,
    "QUIT": _quit,
    **dict.fromkeys(("EXPN", "TURN", "ETRN", "AUTH", "SEND", "SOML", "SAML", "XCLIENT"), _not_implemented),
    **dict.fromkeys(("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE"), _not_smtp),
}
