"""The smtpd station in a thread: real listener, real sealing, a database that is a list.

Guarantees
    ``accepted`` holds each message as it was committed, opened again with its key, in the order of the commits.
    ``hold`` keeps commits from ending until ``let_go``; ``failing`` is raised by every commit while set.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from letterlock.config.settings import Listen
from letterlock.mail.envelope import Envelope, decode
from letterlock.policy.domains import Domain
from letterlock.queue.accept import Acceptor
from letterlock.smtpd.access import ListenerPolicy, PolicyKeeper
from letterlock.smtpd.intake import Desk
from letterlock.smtpd.listener import Listener
from letterlock.smtpd.tls import ServerTls
from letterlock.vault.content import SealedContent, open_content, open_envelope
from letterlock.vault.errors import SealingUnavailable
from letterlock.vault.keys import MessageKey, Secret
from letterlock.vault.sealing import Sealer, SealingSession
from letterlock.vault.segments import FileSegmentStore

ORGANISATION = uuid.UUID(int=7)
OURS = (Domain("ours.test", True, ORGANISATION), Domain("*.ours.test", True, ORGANISATION))
INTERNET = "127.0.0.2"
"""A loopback address outside relay_networks."""


class Accepted(NamedTuple):
    """One committed message."""

    envelope: Envelope
    octets: bytes
    recipients: list[tuple[str, uuid.UUID]]
    segments: int


class RecordingSession(SealingSession):
    """Keeps the message keys it makes, so that a test can open what was sealed."""

    def __init__(self) -> None:
        now = time.time()
        epoch = uuid.uuid4()
        super().__init__(
            uuid.uuid4(), Secret(os.urandom(32)), epoch=epoch, day=date(2030, 1, 1), made_at=now, not_after=now + 3600
        )
        self.keys: dict[uuid.UUID, MessageKey] = {}

    def message_key(self, octets: bytes, content: uuid.UUID) -> MessageKey:
        key = super().message_key(octets, content)
        self.keys[content] = key
        return key


class FakeSealer(Sealer):
    """Always has a session, unless ``away``."""

    def __init__(self) -> None:
        super().__init__()
        self.recording = RecordingSession()
        self.away = False

    def session(self, day: date | None = None) -> SealingSession:
        if self.away:
            raise SealingUnavailable
        return self.recording


class FakePolicy(PolicyKeeper):
    """Whatever ``policy`` is; raises it when it is an exception."""

    def __init__(self, policy: ListenerPolicy) -> None:
        self.policy: ListenerPolicy | Exception = policy

    def current(self) -> ListenerPolicy:
        if isinstance(self.policy, Exception):
            raise self.policy
        return self.policy


def policy(revision: int = 1, **values: object) -> ListenerPolicy:
    """Relays for 127.0.0.1 alone, unless told otherwise."""
    return ListenerPolicy.of(revision, {"relay_networks": ["127.0.0.1/32"], **values}, OURS)


class Station:
    """``with Station() as station: station.port``."""

    def __init__(
        self, settings: Mapping[str, object] | None = None, *, tls: ServerTls | None = None, loop: str = "uvloop"
    ) -> None:
        """``settings``: policy settings as stored; ``loop``: asyncio or uvloop."""
        self.accepted: list[Accepted] = []
        self.failing: Exception | None = None
        self.sealer = FakeSealer()
        self.policy = FakePolicy(policy(**(settings or {})))
        self.commits: list[int] = []
        self.measured: Counter[str] = Counter()
        self.port = self.tls_port = 0
        self._tls = tls or ServerTls("", "")
        self._folder = tempfile.TemporaryDirectory()
        self.store = FileSegmentStore(Path(self._folder.name) / "segments")
        self._open = threading.Event()
        self._open.set()
        self._ready = threading.Event()
        self._factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._changed = threading.Condition()

    def __enter__(self) -> Station:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        with contextlib.suppress(RuntimeError):  # it has ended already
            self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._folder.cleanup()

    def hold(self) -> None:
        """From now on no commit ends."""
        self._open.clear()

    def let_go(self) -> None:
        """Commits end again."""
        self._open.set()

    def stop(self) -> None:
        """What SIGTERM does."""
        self.loop.call_soon_threadsafe(self._stopping.set)

    def wait_for(self, count: int, within: float = 20.0) -> list[Accepted]:
        """The accepted messages, once there are ``count``."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.accepted) >= count, within), len(self.accepted)
            return list(self.accepted)

    def wait_until(self, condition: Callable[[], bool], within: float = 10.0) -> None:
        """Return when ``condition`` holds."""
        until = time.monotonic() + within
        while not condition():
            assert time.monotonic() < until, "it did not come"
            time.sleep(0.01)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            runner.run(self._main())

    def _meter(self, name: str, value: float, labels: Mapping[str, str], /) -> None:
        self.measured[name] += value

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        acceptor = Acceptor(self._accept, away=ConnectionError)
        desk = Desk("mx.test", self.policy, self.sealer, self.store, acceptor, self._tls, self._meter)
        self.listener = Listener(desk)
        self.port = (await self.listener.open([Listen("127.0.0.1", 0)]))[0].port
        self.tls_port = (await self.listener.open([Listen("127.0.0.1", 0)], implicit_tls=True))[0].port
        self._ready.set()
        await self._stopping.wait()
        await self.listener.close(5.0)

    async def _accept(self, **arrays: list[Any]) -> None:
        self.commits.append(len(arrays["ids"]))
        while not self._open.is_set():
            await asyncio.sleep(0.005)
        if self.failing is not None:
            raise self.failing
        names = SealedContent._fields
        columns = ("ids", "sessions", "days", "wrapped_keys", "commitments", "envelopes", "manifests", "sizes")
        columns += ("segments", "bodies")
        found = []
        for place in range(len(arrays["ids"])):
            row = SealedContent(**{name: arrays[column][place] for name, column in zip(names, columns, strict=True)})
            key = self.sealer.recording.keys[row.id]
            envelope = decode(open_envelope(key, row))
            assert arrays["senders"][place] == envelope.sender
            of = [n for n, index in enumerate(arrays["recipient_of"]) if index == place + 1]
            recipients = [(arrays["recipients"][n], arrays["organisations"][n]) for n in of]
            octets = b"".join(open_content(key, row, self.store))
            found.append(Accepted(envelope, octets, recipients, row.segments))
        with self._changed:
            self.accepted += found
            self._changed.notify_all()
