"""Reading the effective settings of addresses, with a cache that lives as long as the policy's revision.

Guarantees
    An address asked for again under the same revision costs no call. A change of any setting makes a new revision, and
    nothing read under an older one is used for it.

See also
    ``calls.settings_for`` (flow) and ``calls.explain`` (administrator): the two readers; ``effective.py`` for the
    values.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from letterlock.policy.effective import EffectiveSettings, Row, of_rows

ReadSettings = Callable[[list[str]], Awaitable[Sequence[Row]]]
"""policy.settings_for for a list of keys (see key_of())."""


def key_of(address: str) -> str:
    """What an address is looked up by: policy does not tell upper from lower case, though RFC 5321 2.4 might."""
    return address.lower()


class Resolver:
    """The settings of addresses, read through ``read`` and kept per revision, at most ``capacity`` of them."""

    def __init__(self, read: ReadSettings, *, capacity: int = 20_000) -> None:
        self._read = read
        self._capacity = capacity
        self._revision = -1
        self._known: dict[str, EffectiveSettings] = {}

    async def settings(self, revision: int, addresses: Iterable[str]) -> dict[str, EffectiveSettings]:
        """The settings of each address, by the address as given. Raises what ``read`` raises, StoredSettingInvalid."""
        if revision > self._revision:
            self._known = {}
            self._revision = revision
        known = self._known
        keys = {address: key_of(address) for address in addresses}
        found = {key: known[key] for key in keys.values() if key in known}
        missing = [key for key in dict.fromkeys(keys.values()) if key not in found]
        if missing:
            fresh = of_rows(missing, await self._read(missing))
            found |= fresh
            if len(known) + len(fresh) > self._capacity:
                known.clear()
            known.update(fresh)  # of the dictionary of the revision we started with, not of one begun meanwhile
        return {address: found[key] for address, key in keys.items()}
