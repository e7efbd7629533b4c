"""What is said over the sockets of the keyholder and the doorkeeper, and how it is framed.

Order
    Keyholder: ``Hello`` with the caller's token first; then requests, each with a ``serial`` that its answer repeats.
    Answers come in any order. ``Use`` carries many uses of private keys; each is answered by its serial in a ``Used``.
    Doorkeeper: one ``Local``, answered by ``Admitted`` or ``Refused``.

Guarantees
    A frame is four octets of length and MessagePack of one tagged struct (to and from a signer: of a list of them);
    longer than LONGEST_FRAME, or anything else, ends the connection. Ids travel as 16 octets. Nothing here shows keys
    or tokens in repr.

Raises
    FrameInvalid.

See also
    ``opening.py`` and ``accounts/door.py`` (clients), ``keyholder/desk.py`` and ``doorkeeper/serve.py`` (servers).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

from letterlock.config.approved import Profile
from letterlock.vault.errors import FrameInvalid

LONGEST_FRAME = 4 * 1024 * 1024
LONGEST_JOB = 65_536
"""Octets that may be signed, unwrapped, agreed with or decapsulated in one use; signed is a set of attributes (RFC
5652 5.4)."""

TOKEN_OCTETS = 32
_LENGTH = 4

Operation = Literal["sign", "unwrap", "agree", "decapsulate"]

Why = Literal["refused", "unavailable"]
"""refused: asking again is vain. unavailable: it may work later."""


class _Quiet(msgspec.Struct, frozen=True, array_like=True):
    """A struct whose repr is its name."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Hello(_Quiet, frozen=True, array_like=True, tag="hello"):
    """The caller's token: which role it is. Not answered when it is good."""

    token: bytes


class OpenSession(_Quiet, frozen=True, array_like=True, tag="open-session"):
    """Asks for a sealing session of the class."""

    serial: int
    cls: str


class SessionGiven(_Quiet, frozen=True, array_like=True, tag="session"):
    """A sealing session. ``day``: date.toordinal(); times in seconds since the Unix epoch."""

    serial: int
    session: bytes
    key: bytes
    epoch: bytes
    day: int
    kind: int
    organisation: bytes
    made_at: float
    not_after: float


class MessageKeys(_Quiet, frozen=True, array_like=True, tag="message-keys"):
    """Asks for the message keys of what the caller leased. ``ids``: 16 octets each, one after the other."""

    serial: int
    lease: bytes
    ids: bytes


class OneKey(_Quiet, frozen=True, array_like=True):
    """A message key with what MessageKey needs beside it."""

    content: bytes
    key: bytes
    day: int
    kind: int
    organisation: bytes


class KeysGiven(_Quiet, frozen=True, array_like=True, tag="keys"):
    """The keys of those that are leased and can be opened; the others are missing."""

    serial: int
    keys: list[OneKey]


class Job(_Quiet, frozen=True, array_like=True):
    """One use of a private key for a leased message. ``octets``: to be signed, unwrapped or
    decapsulated, or the peer's public key."""

    serial: int
    operation: Operation
    lease: bytes
    content: bytes
    key_id: bytes
    algorithm: str
    octets: bytes
    length: int = 0


class Use(_Quiet, frozen=True, array_like=True, tag="use"):
    """Asks for uses of private keys."""

    jobs: list[Job]


class Done(_Quiet, frozen=True, array_like=True):
    """What came of one Job: ``octets``, or ``why`` and a sentence."""

    serial: int
    octets: bytes
    why: str = ""
    sentence: str = ""


class Used(_Quiet, frozen=True, array_like=True, tag="used"):
    """Answers to some jobs."""

    done: list[Done]


class MarkKey(_Quiet, frozen=True, array_like=True, tag="mark-key"):
    """Asks for the key of loop fields and inbound marks."""

    serial: int


class MarkGiven(_Quiet, frozen=True, array_like=True, tag="mark"):
    """That key."""

    serial: int
    key: bytes


class Take(_Quiet, frozen=True, array_like=True, tag="take"):
    """Asks for the message key of a grant, with the token of the person it was made for."""

    serial: int
    grant: bytes
    token: bytes


class ImportKey(_Quiet, frozen=True, array_like=True, tag="import-key"):
    """Brings a private key (PKCS #8 in DER) of an organisation."""

    serial: int
    token: bytes
    organisation: bytes
    pkcs8: bytes


class MakeKey(_Quiet, frozen=True, array_like=True, tag="make-key"):
    """Asks for a new private key. ``token``: a person's, empty from housekeeping; ``purpose``: mail or authority;
    ``on_token``: it is to be made on the PKCS #11 token."""

    serial: int
    token: bytes
    organisation: bytes
    algorithm: str
    purpose: str
    on_token: bool = False


class KeyMade(_Quiet, frozen=True, array_like=True, tag="key-made"):
    """A private key was made; ``spki``: its public key, DER."""

    serial: int
    key_id: bytes
    spki: bytes


class AdoptKey(_Quiet, frozen=True, array_like=True, tag="adopt-key"):
    """Asks that a key on the PKCS #11 token be kept for mail. ``uri``: id or label; ``spki``: its public key, or empty."""

    serial: int
    token: bytes
    organisation: bytes
    uri: str
    spki: bytes


class ListToken(_Quiet, frozen=True, array_like=True, tag="list-token"):
    """Asks what keys are on the PKCS #11 token."""

    serial: int


class CarryOut(_Quiet, frozen=True, array_like=True, tag="carry-out"):
    """Asks to sign what an order of the certificate authority in the database says."""

    serial: int
    order: bytes
    token: bytes


class CarriedOut(_Quiet, frozen=True, array_like=True, tag="carried-out"):
    """The signed certificate, list, answer or request, DER."""

    serial: int
    signed: bytes


class ExportKey(_Quiet, frozen=True, array_like=True, tag="export-key"):
    """Asks for a private key in a locked file, with the certificates given, its own first. ``form``: p12 or pem."""

    serial: int
    token: bytes
    key_id: bytes
    certificates: list[bytes]
    name: str
    reason: str
    form: str = "p12"


class Exported(_Quiet, frozen=True, array_like=True, tag="exported"):
    """The file and the password that opens it."""

    serial: int
    file: bytes
    password: str


class Imported(_Quiet, frozen=True, array_like=True, tag="imported"):
    """The id under which it is kept; of the one already kept when it is the same."""

    serial: int
    key_id: bytes


class Inquire(_Quiet, frozen=True, array_like=True, tag="inquire"):
    """Asks how the ring, the clocks and the signers are."""

    serial: int


class Condition(msgspec.Struct, frozen=True, array_like=True, tag="condition"):
    """How it is: names to plain values, without secrets."""

    serial: int
    facts: dict[str, Any]


class ConfirmTime(_Quiet, frozen=True, array_like=True, tag="confirm-time"):
    """An administrator says that the clocks are right."""

    serial: int


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """No. ``sentence`` may be shown to anybody."""

    serial: int
    why: Why
    sentence: str


class Local(msgspec.Struct, frozen=True, array_like=True, tag="local"):
    """Asks the doorkeeper for an administrator's token; who asks is what the socket says."""


class Admitted(_Quiet, frozen=True, array_like=True, tag="admitted"):
    """A person's token, the database credentials of ll_admin, the token of the role admin at the keyholder, and the
    crypto_profile to keep."""

    principal: str
    token: bytes
    host: str
    port: int
    user: str
    password: str
    dbname: str
    key_token: bytes
    profile: Profile = "default"


Request = (
    OpenSession
    | MessageKeys
    | Use
    | MarkKey
    | Take
    | ImportKey
    | Inquire
    | ConfirmTime
    | MakeKey
    | CarryOut
    | ExportKey
    | AdoptKey
    | ListToken
)
Answer = SessionGiven | KeysGiven | Used | MarkGiven | Imported | Condition | Refused | KeyMade | CarriedOut | Exported
DoorAnswer = Admitted | Refused

Word = TypeVar("Word")

_encoder = msgspec.msgpack.Encoder()


def encode(word: msgspec.Struct | Sequence[msgspec.Struct]) -> bytes:
    """The frame of one struct, or of several that are one word. Raises FrameInvalid when it is too long."""
    octets = _encoder.encode(word)
    if len(octets) > LONGEST_FRAME:
        raise FrameInvalid(detail="a frame is too long")
    return len(octets).to_bytes(_LENGTH, "big") + octets


class FrameReader(Generic[Word]):
    """Cuts what came over a socket into words."""

    def __init__(self, words: Any, longest: int = LONGEST_FRAME) -> None:
        """``words``: the type, or union of types, expected; ``longest``: in octets."""
        self.longest = longest
        self._decoder = msgspec.msgpack.Decoder(words)
        self._held = bytearray()

    def feed(self, octets: bytes) -> Iterator[Word]:
        """The words that are complete now, cut one by one: ``longest`` may be changed between two. Raises FrameInvalid."""
        held: bytes | bytearray = octets
        if self._held:
            self._held += octets
            held = self._held
        start = 0
        try:
            while len(held) - start >= _LENGTH:
                length = int.from_bytes(held[start : start + _LENGTH], "big")
                if length > self.longest:
                    raise FrameInvalid(detail=f"a frame of {length} octets")
                end = start + _LENGTH + length
                if len(held) < end:
                    break
                try:
                    word = self._decoder.decode(held[start + _LENGTH : end])
                except msgspec.DecodeError:
                    raise FrameInvalid(detail="a frame that is none of those expected") from None
                start = end
                yield word
        finally:
            if held is self._held:
                del self._held[:start]
            else:
                self._held += held[start:]
