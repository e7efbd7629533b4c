"""Keys on the PKCS #11 token, as the keyholder knows them: has them made, finds and lists them, reads where the PIN is.

Guarantees
    The database gets a reference, wrapped like a key, and for the eye the key's URI; no secret. A key that was made and
    may not be kept is removed from the token again.
    The PIN is read once, at the start, from a file that is ours alone or from systemd; it goes to the signers only.

Raises
    KeyRefused, UseRefused, TokenAway, PinRefused; PinMissing at the start.

See also
    ``token_drawer.py`` (a signer's side), ``orders.py``; database/sql/functions/keyholder/store_token_key.sql.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from letterlock.config.settings import Pkcs11
from letterlock.keyholder.epochs import Epochs
from letterlock.keyholder.errors import PinMissing
from letterlock.keyholder.pools import Pools
from letterlock.keyholder.private_keys import seal_data
from letterlock.keyholder.records import Records
from letterlock.keyholder.token_drawer import Attach, Made, wanted
from letterlock.pki.pkcs11_uri import TokenUri, parse
from letterlock.vault.errors import KeyRefused
from letterlock.vault.keys import new_id, seal

LONGEST_PIN = 256


class TokenKeys:
    """Makes, takes and lists keys on the token."""

    def __init__(self, epochs: Epochs, records: Records, signers: Pools) -> None:
        self._epochs = epochs
        self._records = records
        self._signers = signers

    async def make(
        self, role: str, token: bytes, organisation: UUID, algorithm: str, purpose: str
    ) -> tuple[UUID, bytes]:
        """A new key on the token: its id, which is its CKA_ID too, and its SubjectPublicKeyInfo."""
        key_id = new_id()
        made = await self._ask("make-on-token", algorithm, key_id.bytes)
        kept = await self._keep(role, token, key_id, organisation, purpose, made, new=True)
        if kept is None:
            await self._signers.ask("destroy-on-token", "", made.reference)
            raise KeyRefused("You may not have keys made for that.")
        return key_id, made.spki

    async def adopt(self, token: bytes, organisation: UUID, uri: str, spki: bytes) -> tuple[UUID, bytes]:
        """Keep a mail key that is on the token: its id, or that of the same key kept already, and its public key."""
        made = await self._ask("find-on-token", "", wanted(parse(uri).key_only, spki))
        kept = await self._keep("ll_admin", token, new_id(), organisation, "mail", made, new=False)
        if kept is None:
            raise KeyRefused("You may not import keys, or your session is over.")
        return kept, made.spki

    async def listed(self) -> list[dict[str, Any]]:
        """Every key on the token, with the id under which it is kept here, if it is."""
        found = msgspec.msgpack.decode(await self._signers.ask("list-on-token", "", b""), type=list[Made])
        known = {parse(uri).id: (str(key_id), use) for key_id, uri, use in await self._records.token_keys()}
        rows = []
        for each in found:
            uri = parse(each.uri)
            key_id, use = known.get(uri.id, ("", ""))
            rows.append(
                {
                    "id": uri.id.hex(),
                    "label": uri.object,
                    "algorithm": each.algorithm,
                    "key": key_id,
                    "use": use,
                    "uri": each.uri,
                }
            )
        return rows

    async def _ask(self, operation: str, algorithm: str, octets: bytes) -> Made:
        return msgspec.msgpack.decode(await self._signers.ask(operation, algorithm, octets), type=Made)

    async def _keep(
        self, role: str, token: bytes, key_id: UUID, organisation: UUID, use: str, made: Made, *, new: bool
    ) -> UUID | None:
        permanent = await self._epochs.permanent(organisation)
        wrapped = seal(permanent, made.reference, seal_data(organisation, key_id.bytes))
        return await self._records.store_token_key(
            token, role, key_id, organisation, use, wrapped, made.spki, made.algorithm, made.uri, new
        )


def attachment(settings: Pkcs11, state: Path, environment: Mapping[str, str] = os.environ) -> Attach | None:
    """What the signers are told of the token; None when none is set. Raises PinMissing, TokenUriInvalid."""
    if not settings.module:
        return None
    uri = parse(settings.token)
    if uri == TokenUri() or uri.id or uri.object:
        raise PinMissing("[pkcs11] token names a token and no key, such as pkcs11:token=NAME;serial=NUMBER.")
    return Attach(settings.module, settings.token, _pin(settings.pin, state, environment))


def _pin(source: str, state: Path, environment: Mapping[str, str]) -> str:
    scheme, _, value = source.partition(":")
    if scheme not in ("file", "credential") or not value or (scheme == "credential" and "/" in value):
        raise PinMissing("The PIN of the PKCS #11 token comes from file:PATH or credential:NAME ([pkcs11] pin).")
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if scheme == "credential" and not folder:
        raise PinMissing("systemd handed over no credentials (CREDENTIALS_DIRECTORY is not set).")
    path = state / value if scheme == "file" else Path(folder or "") / value
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            octets = file.read(LONGEST_PIN + 1)
    except OSError as error:
        raise PinMissing(detail=f"{path}: {error.strerror}") from error
    if scheme == "file" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PinMissing("The file of the PKCS #11 PIN may be read by others; set its mode to 0600.", detail=str(path))
    try:
        pin = octets.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        pin = ""
    if not pin or len(octets) > LONGEST_PIN or "\n" in pin:
        raise PinMissing(
            "The file of the PKCS #11 PIN holds one line with the PIN, and nothing else.", detail=str(path)
        )
    return pin
