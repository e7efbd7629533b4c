"""Users' private keys: who may have which used, and how they come in.

Guarantees
    A key signs only for the sender, and unwraps, agrees or decapsulates only for a recipient, of a message the asking
    role has leased; for the sender too when the message was submitted by one of ours, who may have encrypted it to himself.
    Whose key it is, its certificates in the database say; who sender and recipients are, and how it came, the sealed
    envelope.
    The keys themselves are wrapped under their organisation's permanent key, bound to organisation and id, and are
    unwrapped only on their way to a signer.

Raises
    KeyRefused, and what the database and the signers raise.

See also
    ``leases.py``, ``signers.py``; database/sql/functions/keyholder/store_key.sql and private_key.sql.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec

from letterlock.errors import LetterlockError
from letterlock.keyholder.epochs import Epochs
from letterlock.keyholder.leases import Leases
from letterlock.keyholder.pools import Pools
from letterlock.keyholder.records import Records, StoredKey
from letterlock.keyholder.signer import Inspected
from letterlock.mail.envelope import Envelope
from letterlock.pki.certificate import match_form
from letterlock.pki.scopes import CONFIDENTIALITY
from letterlock.vault import frames
from letterlock.vault.errors import ContentRefused, KeyRefused
from letterlock.vault.keys import NO_DAY, Kind, Part, associated_data, new_id, seal, unseal
from letterlock.vault.sealing import Clock

REMEMBERED_FOR = 30.0
"""Seconds for which a key's addresses are not asked for again."""

_KEPT_KEYS = 10_000

Emit = Callable[[frames.Done], None]
"""Takes each answer as it comes."""


class PrivateKeys:
    """Uses and imports of private keys."""

    def __init__(self, epochs: Epochs, records: Records, leases: Leases, signers: Pools, clock: Clock) -> None:
        self._epochs = epochs
        self._records = records
        self._leases = leases
        self._signers = signers
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, StoredKey]] = OrderedDict()

    async def use(self, role: str, jobs: Sequence[frames.Job], emit: Emit) -> None:
        """Check each job and have it done; every job is answered through ``emit``, now or when its signer is ready."""
        envelopes = await self._leases.envelopes(role, list({(job.lease, job.content) for job in jobs}))
        for job in jobs:
            try:
                found = envelopes.get((job.lease, job.content))
                if found is None:
                    raise KeyRefused("The message is not leased to who asks.")
                if isinstance(found, LetterlockError):
                    raise found
                stored = await self._stored(job.key_id)
                _check(job, found, stored)
                future = self._signers.use(
                    job.operation, job.key_id, self._reveal(job.key_id, stored), job.algorithm, job.octets, job.length
                )
            except LetterlockError as error:
                emit(_failed(job.serial, error))
            else:
                future.add_done_callback(lambda future, serial=job.serial: emit(_done(serial, future)))  # type: ignore[misc]
        self._signers.deal()

    async def import_key(self, token: bytes, organisation: UUID, pkcs8: bytes) -> UUID:
        """Keep a private key; its id. Raises UseRefused (what was brought is none), KeyRefused (the token may not)."""
        future = self._signers.use("inspect", b"", None, "", pkcs8)
        self._signers.deal()
        inspected = msgspec.msgpack.decode(await future, type=Inspected)
        permanent = await self._epochs.permanent(organisation)
        key_id = new_id()
        wrapped = seal(permanent, inspected.pkcs8, seal_data(organisation, key_id.bytes))
        kept = await self._records.store_key(token, key_id, organisation, wrapped, inspected.spki, inspected.algorithm)
        if kept is None:
            raise KeyRefused("You may not import keys, or your session is over.")
        return kept

    async def _stored(self, key_id: bytes) -> StoredKey:
        now = self._clock()
        known = self._known.get(key_id)
        if known is not None and abs(now - known[0]) <= REMEMBERED_FOR:
            return known[1]
        stored = await self._records.private_key(UUID(bytes=key_id))
        if stored is None:
            self._known.pop(key_id, None)
            self._signers.forget(key_id)
            raise KeyRefused("There is no such private key.")
        self._known[key_id] = (now, stored)
        if len(self._known) > _KEPT_KEYS:
            self._known.popitem(last=False)
        return stored

    def _reveal(self, key_id: bytes, stored: StoredKey) -> Callable[[], bytes]:
        def reveal() -> bytes:
            permanent = self._epochs.ring.permanent(stored.organisation)
            if permanent is None:
                raise KeyRefused("The key of this organisation's private keys is missing.")
            try:
                return unseal(permanent, stored.wrapped, seal_data(stored.organisation, key_id))
            except ContentRefused:
                raise KeyRefused("The private key does not open.", detail=str(UUID(bytes=key_id))) from None

        return reveal


def _check(job: frames.Job, envelope: Envelope, stored: StoredKey) -> None:
    """Return when the key may be used so. Raises KeyRefused. The null reverse-path is nobody's address: its form is "".

    The key of a domain's authority (RFC 3183 2.2) opens for its domain, by the name in its certificate. No match form begins
    with @, as the scopes do to which administrators tie certificates; a tie entitles nobody.
    """
    signs = job.operation == "sign"
    entitled = [envelope.sender] if signs else [recipient.address for recipient in envelope.recipients]
    if envelope.origin == "submission" and not signs:  # docs/decisions/0019: what is opened so goes to no one new
        entitled.append(envelope.sender)
    forms = [form for form in map(match_form, entitled) if form]
    if not signs:
        domains = (match_form(recipient.address).rpartition("@")[2] for recipient in envelope.recipients)
        forms += [f"{CONFIDENTIALITY}@{domain}" for domain in domains if domain]
    if not stored.addresses.intersection(forms):
        who = "the sender" if signs else "a recipient"
        raise KeyRefused(f"The private key does not belong to {who} of the message.")


def seal_data(organisation: UUID, key_id: bytes) -> bytes:
    """What the wrap of a private key is bound to."""
    return associated_data(
        kind=Kind.PRIVATE_KEY, organisation=organisation.bytes, content=key_id, part=Part.KEY, day=NO_DAY
    )


def _done(serial: int, future: asyncio.Future[bytes]) -> frames.Done:
    if future.cancelled():
        return frames.Done(serial, b"", "unavailable", "The private key was not used.")
    error = future.exception()
    if isinstance(error, LetterlockError):
        return _failed(serial, error)
    if error is not None:
        return frames.Done(serial, b"", "unavailable", "The private key could not be used.")
    return frames.Done(serial, future.result())


def _failed(serial: int, error: LetterlockError) -> frames.Done:
    why = "refused" if error.permanent or isinstance(error, KeyRefused) else "unavailable"
    return frames.Done(serial, b"", why, error.public)
