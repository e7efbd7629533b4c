"""Which signers do what: those that use keys in memory, and, when there is a PKCS #11 token, a few for its keys alone.

Guarantees
    A token that hangs holds up nobody who needs none of its keys. The PIN, and the module, are in no process that reads a
    key file from outside or holds a key in memory. A token sees TOKEN_SIGNERS sessions, whatever the number of cores.

See also
    ``signers.py`` (one pool of them), ``token_drawer.py``.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from letterlock.errors import LetterlockError
from letterlock.keyholder.nursery import Nursery
from letterlock.keyholder.signers import Reveal, Signers
from letterlock.keyholder.token_drawer import Attach, is_reference

TOKEN_SIGNERS = 2
ENDING = "-on-token"
"""Of the names of operations that are the token's and need no key that is kept."""

_KEPT_KINDS = 20_000


class Pools:
    """Both pools behind the interface of one. Without ``attach`` there is one."""

    def __init__(self, nursery: Nursery, memory: Signers, attach: Attach | None) -> None:
        self._memory = memory
        self._token = memory if attach is None else Signers(nursery, TOKEN_SIGNERS, attach)
        self._all = list(dict.fromkeys((self._memory, self._token)))
        self._kinds: OrderedDict[bytes, bool] = OrderedDict()

    async def start(self) -> None:
        """Fork all of them. Raises NurseryGone."""
        for each in self._all:
            await each.start()

    def use(
        self, operation: str, key_id: bytes, reveal: Reveal | None, algorithm: str, octets: bytes, length: int = 0
    ) -> asyncio.Future[bytes]:
        """As Signers.use."""
        try:
            pool = self._pool(operation, key_id, reveal)
        except LetterlockError as error:
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            future.set_exception(error)
            return future
        return pool.use(operation, key_id, reveal, algorithm, octets, length)

    def _pool(self, operation: str, key_id: bytes, reveal: Reveal | None) -> Signers:
        if reveal is None:
            return self._token if operation.endswith(ENDING) else self._memory
        kind = self._kinds.get(key_id)
        if kind is None:  # where a key is never changes
            kind = self._kinds[key_id] = is_reference(reveal())
            if len(self._kinds) > _KEPT_KINDS:
                self._kinds.popitem(last=False)
        return self._token if kind else self._memory

    def ask(self, operation: str, algorithm: str, octets: bytes) -> asyncio.Future[bytes]:
        """A use that needs no key, at once."""
        future = self.use(operation, b"", None, algorithm, octets)
        self.deal()
        return future

    def deal(self) -> None:
        """Hand out what ``use`` lined up."""
        for each in self._all:
            each.deal()

    def forget(self, key_id: bytes) -> None:
        """Have every signer forget a key."""
        self._kinds.pop(key_id, None)
        for each in self._all:
            each.forget(key_id)

    def check(self) -> None:
        """Kill who works too long; called each second."""
        for each in self._all:
            each.check()

    async def wait_hopeless(self) -> None:
        """Until no signer can be made any more."""
        waits = [asyncio.create_task(each.hopeless.wait()) for each in self._all]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    def close(self) -> None:
        """Let all signers end."""
        for each in self._all:
            each.close()
