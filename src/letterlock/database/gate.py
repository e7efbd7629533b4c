"""The only door for calls: a database function by its name and arguments, and its rows back.

Guarantees
    There is no SQL text but the one call form below: the function's name is looked up in the catalogue, values travel
    apart from it in binary form. Injection has no place to happen.
    One call is one transaction. An error of the server is raised as ours (``errors.py``).
    A call that warns LL002 committed the audit row of a denial; the gate then raises Denied.
    Calls beyond the number of connections wait their turn, first come first served.
    A connection that broke is thrown away together with the idle ones of its age: after a restart of the database the
    next call connects anew. The call that was on its way raises DatabaseUnavailable; whether it took effect is unknown.
    A call that is cancelled is ended in the server too.

Raises
    DatabaseUnavailable, DatabaseBusy, DatabaseFault, and our own of ``errors.py``; TypeError for wrong arguments.

See also
    ``connect.py`` (makes a Gate), ``wire.py``; only <package>/calls.py may import this module.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from letterlock.database.errors import DatabaseFault, DatabaseUnavailable, Denied, from_sqlstate
from letterlock.database.wire import ENCODERS, Encode

SCHEMAS = ("queue", "policy", "pki", "accounts", "audit", "keyholder", "vault", "ca", "acme")

_CATALOGUE = b"""
SELECT n.nspname || '.' || p.proname, p.proargnames, p.proargtypes::oid[]
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('queue', 'policy', 'pki', 'accounts', 'audit', 'keyholder', 'vault', 'ca', 'acme')
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
"""

CANCEL_SECONDS = 5.0
"""How long the server may take to end a query that nobody waits for any more."""

LOOK_SECONDS = 0.5
"""How often a connection is read from without being told to, while an answer is waited for."""

Row = tuple[Any, ...]

_OK, _IDLE = pq.ConnStatus.OK, pq.TransactionStatus.IDLE
_BINARY, _FAILED = pq.Format.BINARY, pq.ExecStatus.FATAL_ERROR
_SEVERITY, _LAST_WORDS = pq.DiagnosticField.SEVERITY_NONLOCALIZED, (b"FATAL", b"PANIC")


class _Function(NamedTuple):
    name: bytes  # of the prepared statement too
    arguments: tuple[str, ...]  # without the leading p_
    oids: tuple[int, ...]
    encoders: tuple[Encode, ...]
    formats: tuple[pq.Format, ...]

    def call_form(self) -> bytes:
        places = ", ".join(f"${n}" for n in range(1, len(self.arguments) + 1))
        return b"SELECT * FROM %s(%s)" % (self.name, places.encode())


class _Line:
    """One connection, with what is prepared on it; read from whenever octets come, until ``close``."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], age: int) -> None:
        self.connection = connection
        self.pgconn = connection.pgconn
        self.age = age
        self.prepared: set[bytes] = set()
        self.denied = False
        self._loop = asyncio.get_running_loop()
        self._socket = self.pgconn.socket
        self._waiting: asyncio.Future[None] | None = None
        self._watch: asyncio.TimerHandle
        self._transformer = Transformer.from_context(connection)
        connection.add_notice_handler(self._noticed)
        self._reading = True
        self._loop.add_reader(self._socket, self._read)

    def _noticed(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self.denied = self.denied or diagnostic.sqlstate == "LL002"

    def is_usable(self) -> bool:
        """Whether the next call may go this way."""
        pgconn = self.pgconn
        return pgconn.status == _OK and pgconn.transaction_status == _IDLE

    def close(self) -> None:
        """Hang up; what was not answered is not waited for."""
        self._stop_reading()
        self.pgconn.finish()

    async def results(self, send: Callable[..., None], *arguments: Any) -> pq.abc.PGresult:
        """Send, wait, and return the last result; raises ours on an error."""
        send(*arguments)
        try:
            result = await self._answer()
        except asyncio.CancelledError:
            await self._cancel()
            raise
        assert result is not None
        if result.status == _FAILED:
            sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE)
            message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"no message"
            raise from_sqlstate(sqlstate.decode() if sqlstate else None, message.decode(errors="replace"))
        return result

    def rows(self, result: pq.abc.PGresult) -> list[Row]:
        """The rows as Python values."""
        if not result.ntuples:
            return []
        transformer = self._transformer
        transformer.set_pgresult(result)
        try:
            return transformer.load_rows(0, result.ntuples, tuple)
        finally:
            transformer.set_pgresult(None)

    def _read(self) -> None:
        waiting = self._waiting
        try:
            self.pgconn.consume_input()
        except psycopg.Error as error:  # the server hung up; without a call under way the next one meets it
            self._stop_reading()
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)
            return
        if waiting is not None and not waiting.done() and not self.pgconn.is_busy():
            waiting.set_result(None)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False  # once: the number of the socket may soon be another's
            self._loop.remove_reader(self._socket)

    async def _answer(self) -> pq.abc.PGresult | None:
        """The last result of what was sent, when all of it has come; None when it was taken before."""
        pgconn, last = self.pgconn, None
        if pgconn.flush():
            await self._wait_sent()
        while True:
            if pgconn.is_busy():
                self._waiting = self._loop.create_future()
                self._watch = self._loop.call_later(LOOK_SECONDS, self._look)
                try:
                    await self._waiting
                finally:
                    self._waiting = None
                    self._watch.cancel()
            result = pgconn.get_result()
            if result is None:
                return last
            if result.status == _FAILED and result.error_field(_SEVERITY) in _LAST_WORDS:
                self.close()  # the server ends the connection; its end need not come as an event (see _look)
                return result
            last = result

    def _look(self) -> None:
        """Read without being told to, now and then while an answer is waited for.

        A server that dies with a question unread leaves the socket in error, for which libuv stops watching it.
        """
        self._watch = self._loop.call_later(LOOK_SECONDS, self._look)
        self._read()

    async def _wait_sent(self) -> None:
        """More was to be sent than the socket took at once."""
        sent = self._loop.create_future()

        def flush() -> None:
            try:
                if not sent.done() and not self.pgconn.flush():
                    sent.set_result(None)
            except psycopg.Error as error:
                sent.set_exception(error)

        self._loop.add_writer(self._socket, flush)
        try:
            await sent
        finally:
            self._loop.remove_writer(self._socket)

    async def _cancel(self) -> None:
        """The caller does not wait any more: end its query, so that the connection is free again, or hang up."""
        if self.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
            return
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self.connection.cancel_safe(timeout=CANCEL_SECONDS)
                await self._answer()
        except (psycopg.Error, TimeoutError):
            self.close()
        except BaseException:
            self.close()
            raise


class Gate:
    """A few connections of one login role. Made by ``connect.connect``; one event loop; close() at the end."""

    def __init__(self, dial: Callable[[], Awaitable[psycopg.AsyncConnection[Any]]], size: int) -> None:
        self._dial = dial
        self._size = size
        self._idle: list[_Line] = []
        self._open = 0
        self._age = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._functions: dict[str, _Function] = {}
        self._closed = False

    async def call(self, function: str, **arguments: Any) -> list[Row]:
        """Rows of ``schema.name``; ``arguments`` by the names in its declaration, without p_."""
        line = await self._take()
        try:
            entry = self._functions.get(function) or await self._look_up(line, function)
            values = _values(entry, arguments)
            if entry.name not in line.prepared:
                await self._prepare(line, entry)
            line.denied = False
            result = await line.results(line.pgconn.send_query_prepared, entry.name, values, entry.formats, _BINARY)
            rows = line.rows(result)
        except psycopg.DataError as error:
            raise DatabaseFault(detail=f"{function}: {error}") from error
        except psycopg.Error as error:
            raise DatabaseUnavailable(detail=str(error).strip()) from error
        finally:
            self._give_back(line)
        if line.denied:
            raise Denied(detail=function)
        return rows

    @staticmethod
    async def _prepare(line: _Line, entry: _Function) -> None:
        try:
            await line.results(line.pgconn.send_prepare, entry.name, entry.call_form(), entry.oids)
        except asyncio.CancelledError:
            line.close()  # nobody knows whether it is prepared there
            raise
        line.prepared.add(entry.name)

    async def check(self) -> None:
        """One empty round trip. Raises DatabaseUnavailable."""
        line = await self._take()
        try:
            await line.results(line.pgconn.send_query, b"")
        except psycopg.Error as error:
            raise DatabaseUnavailable(detail=str(error).strip()) from error
        finally:
            self._give_back(line)

    async def close(self) -> None:
        """Close the idle connections; those at work are closed when they come back."""
        self._closed = True
        self._age += 1
        idle, self._idle = self._idle, []
        for line in idle:
            self._open -= 1
            line.close()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def _take(self) -> _Line:
        while not self._closed:
            if self._idle:
                return self._idle.pop()
            if self._open < self._size:
                return await self._connect()
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                self._wake()  # the turn we may just have been given goes to the next
                raise
        raise DatabaseUnavailable(detail="the gate is closed")

    async def _connect(self) -> _Line:
        self._open += 1
        try:
            connection = await self._dial()
        except psycopg.Error as error:
            self._open -= 1
            self._wake()
            raise DatabaseUnavailable(detail=str(error).strip()) from error
        except BaseException:
            self._open -= 1
            self._wake()
            raise
        return _Line(connection, self._age)

    def _give_back(self, line: _Line) -> None:
        if line.age == self._age and not line.is_usable():
            self._age += 1  # the others of its age broke with it, they only do not know yet
        if line.age == self._age:
            self._idle.append(line)
        else:
            for other in (line, *self._idle):
                other.close()
                self._open -= 1
            self._idle.clear()
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _look_up(self, line: _Line, function: str) -> _Function:
        # get the functions this role may execute, with their argument types; once a gate, and again for a name not
        # known
        result = await line.results(line.pgconn.send_query_params, _CATALOGUE, None, None, None, _BINARY)
        for name, names, oids in line.rows(result):
            known = tuple(ENCODERS.get(oid) for oid in oids)
            if None in known:
                continue
            self._functions[name] = _Function(
                name.encode(),
                tuple(argument.removeprefix("p_") for argument in (names or [])[: len(oids)]),
                tuple(oids),
                tuple(encode for encode in known if encode is not None),
                (pq.Format.BINARY,) * len(oids),
            )
        if function not in self._functions:
            raise DatabaseFault(detail=f"this role has no function {function}")
        return self._functions[function]


def _values(function: _Function, arguments: dict[str, Any]) -> list[bytes | None]:
    try:
        values = [arguments[name] for name in function.arguments]
    except KeyError as missing:
        raise TypeError(f"{function.name.decode()} needs {missing}") from None
    if len(values) != len(arguments):
        raise TypeError(f"{function.name.decode()} does not take {sorted(set(arguments) - set(function.arguments))}")
    try:
        return [
            None if value is None else encode(value) for value, encode in zip(values, function.encoders, strict=True)
        ]
    except (AttributeError, UnicodeEncodeError, struct.error) as error:
        raise TypeError(f"{function.name.decode()}: {error}") from None
