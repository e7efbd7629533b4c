"""What a signer does with the PKCS #11 token: where a key's octets would be kept, a key on the token has a reference.

Guarantees
    A signer loads the module when a key on the token is first used, never before: it was forked before (hsm.py). The PIN
    came over the signer's socket, and is in no file name, argument or environment.
    A reference names a key and says its public key. It is wrapped as a key would be, bound to organisation and id: who can
    write the database cannot make one row's key sign for another's.

Raises
    TokenAway, PinRefused, TokenRefused.

See also
    ``pki/hsm.py``, ``token_keys.py`` (the keyholder's side).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from letterlock.pki.errors import PinRefused, TokenAway
from letterlock.pki.pkcs11_uri import TokenUri, form, parse

if TYPE_CHECKING:
    from letterlock.pki.hsm import Held, Token

_PKCS8 = b"\x30"
"""What a private key in PKCS #8 begins with (SEQUENCE); a reference does not."""


class Attach(msgspec.Struct, frozen=True, array_like=True, tag="attach"):
    """The token that may be used: path of the module, URI of the token, PIN."""

    module: str
    uri: str
    pin: str

    def __repr__(self) -> str:
        return "Attach()"


class Bar(msgspec.Struct, frozen=True, array_like=True, tag="bar"):
    """Another signer's PIN was refused: do not try it too."""


class Reference(msgspec.Struct, frozen=True, array_like=True, tag="on-token"):
    """A key on the token: its PKCS #11 URI and its SubjectPublicKeyInfo, DER."""

    uri: str
    spki: bytes


class Made(msgspec.Struct, frozen=True, array_like=True):
    """A key that is on the token. ``reference``: what is kept in place of its octets."""

    algorithm: str
    uri: str
    spki: bytes
    reference: bytes


def is_reference(octets: bytes) -> bool:
    """Whether this stands for a key on the token; else it is a key."""
    return octets[:1] != _PKCS8


class Drawer:
    """A signer's token. Without ``attach`` there is none."""

    def __init__(self) -> None:
        self._order: Attach | None = None
        self._token: Token | None = None
        self._barred = False

    def obey(self, order: Attach | Bar) -> None:
        """Take the token, or leave it alone from now on."""
        if isinstance(order, Bar):
            self._barred = True
        else:
            self._order = order

    def key(self, octets: bytes) -> Any:
        """The key of a Reference. Raises TokenAway, PinRefused, TokenRefused."""
        reference = msgspec.msgpack.decode(octets, type=Reference)
        return self._opened().key(parse(reference.uri), reference.spki)

    def make(self, algorithm: str, identity: bytes) -> bytes:
        """Have a key made under this CKA_ID; a Made."""
        return _made(self._opened().make(algorithm, identity))

    def find(self, octets: bytes) -> bytes:
        """The key that a Reference names; its public key may be left out. A Made."""
        wanted = msgspec.msgpack.decode(octets, type=Reference)
        return _made(self._opened().find(parse(wanted.uri), wanted.spki))

    def destroy(self, octets: bytes) -> bytes:
        """Remove the key of a Reference, which was made a moment ago and is not kept."""
        self._opened().destroy(parse(msgspec.msgpack.decode(octets, type=Reference).uri))
        return b""

    def keys(self) -> bytes:
        """Every key on the token: a list of Made without references."""
        return msgspec.msgpack.encode([Made(k.algorithm, form(k.uri), k.spki, b"") for k in self._opened().held()])

    def _opened(self) -> Token:
        if self._barred:
            raise PinRefused
        if self._order is None:
            raise TokenAway("The private key is on a PKCS #11 token, and letterlock.toml names none ([pkcs11] module).")
        if self._token is None:
            from letterlock.pki.hsm import Token

            self._token = Token(self._order.module, parse(self._order.uri), self._order.pin)
        return self._token


def _made(held: Held) -> bytes:
    uri = form(held.uri)
    reference = msgspec.msgpack.encode(Reference(uri, held.spki))
    return msgspec.msgpack.encode(Made(held.algorithm, uri, held.spki, reference))


def wanted(uri: TokenUri, spki: bytes = b"") -> bytes:
    """A Reference, to ``find``."""
    return msgspec.msgpack.encode(Reference(form(uri), spki))
