"""People with certificates, made once for all tests that only read them, and messages that they protect.

See also
    ``authority.py`` for certificates with faults; ``own_keys.py`` for their private keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from letterlock.mail.message import Buffer, Message
from letterlock.pki.certificate import Certificate
from letterlock.smime.capabilities import EncryptionPolicy, group_recipients
from letterlock.smime.encrypt import enveloped, smime_type
from letterlock.smime.mime import MIME_VERSION, Wrapped, multipart_signed, to_mime, wrap
from letterlock.smime.party import load_party
from letterlock.smime.sign import prepare_signature
from tests.fakes.authority import Authority, Identity, KeyKind
from tests.fakes.own_keys import KeyInMemory

TEXT = (
    b"From: Alice <alice@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: a letter\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    b"\r\nHello w\xc3\xb6rld\r\n"
)
SIGNED_AT = datetime(2026, 11, 22, 3, 0, 0, tzinfo=UTC)


@cache
def authority() -> Authority:
    """The anchor of everybody here; RSA, since gpgsm takes no other."""
    return Authority.create(key="rsa2048")


@cache
def person(name: str, key: KeyKind = "rsa2048") -> Identity:
    """``name``@example.org (alice) or @example.net (everybody else)."""
    return authority().issue(f"{name}@example.{'org' if name == 'alice' else 'net'}", key)


def sign(
    entity: Sequence[Buffer],
    who: Identity,
    *,
    algorithm: str = "",
    when: datetime = SIGNED_AT,
    preferred: Certificate | None = None,
) -> tuple[bytes, str]:
    """The detached signature (DER) and the micalg."""
    pending = prepare_signature(entity, load_party(who.der), (), when, algorithm=algorithm, preferred=preferred)
    return pending.finish(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm)), pending.micalg


def signed_entity(entity: Sequence[Buffer], who: Identity, *, algorithm: str = "") -> list[Buffer]:
    """multipart/signed around the entity."""
    pending = prepare_signature(entity, load_party(who.der), (), SIGNED_AT, algorithm=algorithm)
    return multipart_signed(entity, pending, pending.finish(KeyInMemory(who).sign_now(pending.tbs, pending.algorithm)))


def signed(message: bytes, who: Identity, *, algorithm: str = "") -> bytes:
    """The message with its content in multipart/signed."""
    wrapped = wrap(Message(message))
    return b"".join((*wrapped.outer, MIME_VERSION, *signed_entity(wrapped.entity, who, algorithm=algorithm)))


def encrypted_entity(entity: Sequence[Buffer], *to: Identity, cipher: str = "auto", transport: str = "auto") -> bytes:
    """application/pkcs7-mime around the entity, all recipients in one."""
    policy = EncryptionPolicy(cipher, transport)
    (group,) = group_recipients([load_party(each.der) for each in to], policy)
    return b"".join(to_mime(enveloped(entity, sum(map(len, entity)), group), smime_type(group)))


def encrypted(message: bytes, *to: Identity, cipher: str = "auto", transport: str = "auto") -> bytes:
    """The message with its content encrypted."""
    wrapped = wrap(Message(message))
    return b"".join((*wrapped.outer, encrypted_entity(wrapped.entity, *to, cipher=cipher, transport=transport)))


def signed_and_encrypted(message: bytes, who: Identity, *to: Identity, cipher: str = "auto") -> bytes:
    """The message with its content signed, then encrypted."""
    wrapped: Wrapped = wrap(Message(message))
    inside = signed_entity(wrapped.entity, who)
    return b"".join((*wrapped.outer, encrypted_entity(inside, *to, cipher=cipher)))
