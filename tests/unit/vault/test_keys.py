"""The key tree: derivation, associated data, secrets that do not show."""

from __future__ import annotations

import os
import pickle
import time
from datetime import date
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from letterlock.vault import keys
from letterlock.vault.errors import ContentRefused
from letterlock.vault.keys import (
    Kind,
    MessageKey,
    Part,
    Secret,
    associated_data,
    new_id,
    seal,
    session_data,
    unseal,
)

DAY = date(2026, 3, 8)
OTHER = {
    "kind": Kind.INBOX,
    "organisation": b"o" * 16,
    "content": b"d" * 16,
    "part": Part.INDEX,
    "segment": 1,
    "last": False,
    "day": 739_001,
}
PLACE = {
    "kind": Kind.QUEUE,
    "organisation": bytes(16),
    "content": b"c" * 16,
    "part": Part.CONTENT,
    "segment": 0,
    "last": True,
    "day": 739_000,
}


def test_associated_data_has_each_field_at_its_place() -> None:
    assert associated_data(**PLACE).hex() == (
        "010100020000000001000b46b8" + "00" * 16 + "63" * 16  # version, kind, part, segment, last, day
    )


@pytest.mark.req("I1")
@pytest.mark.parametrize("field", sorted(PLACE))
def test_a_seal_opens_at_its_place_only(field: str) -> None:
    key = AESGCM(os.urandom(32))
    sealed = seal(key, b"content", associated_data(**PLACE))
    assert unseal(key, sealed, associated_data(**PLACE)) == b"content"
    with pytest.raises(ContentRefused):
        unseal(key, sealed, associated_data(**{**PLACE, field: OTHER[field]}))


@given(st.data())
def test_no_two_places_have_the_same_data(data: st.DataObject) -> None:
    place = st.fixed_dictionaries(
        {
            "kind": st.integers(0, 255),
            "organisation": st.binary(min_size=16, max_size=16),
            "content": st.binary(min_size=16, max_size=16),
            "part": st.integers(0, 65_535),
            "segment": st.integers(0, 2**32 - 1),
            "last": st.booleans(),
            "day": st.integers(0, 3_652_059),
        }
    )
    one, two = data.draw(place), data.draw(place)
    assert (associated_data(**one) == associated_data(**two)) == (one == two)


def test_session_data_is_never_that_of_a_content() -> None:
    same = session_data(
        kind=1, role="ll_flow", organisation=UUID(int=0), epoch=UUID(int=1), session=UUID(int=2), not_after=3
    )
    assert len(same) == 75
    assert same[1] == Kind.SESSION != associated_data(**PLACE)[1]
    assert len(same) != len(associated_data(**PLACE))


@pytest.mark.req("I2")
def test_message_key_is_one_hkdf_call_split() -> None:
    octets = bytes(range(32))
    key = MessageKey(octets, content=UUID(int=7), day=DAY)
    derived = HKDFExpand(SHA256(), 160, b"letterlock message key 1").derive(octets)
    assert key.fingerprint_key == derived[96:128]
    assert key.commitment == derived[128:160]
    content = key.seal_part(Part.CONTENT, b"body")
    assert AESGCM(derived[:32]).decrypt(content[:12], content[12:], key.data(Part.CONTENT)) == b"body"
    envelope = key.seal_part(Part.ENVELOPE, b"to")
    assert AESGCM(derived[32:64]).decrypt(envelope[:12], envelope[12:], key.data(Part.ENVELOPE)) == b"to"
    wrapped = key.wrap_segment_key(b"k" * 32, 3, last=False)
    assert len(wrapped) == keys.WRAPPED_OCTETS == 60
    data = key.data(Part.SEGMENT_KEY, 3, last=False)
    assert AESGCM(derived[64:96]).decrypt(wrapped[:12], wrapped[12:], data) == b"k" * 32


def test_each_seal_has_a_fresh_nonce() -> None:
    key = MessageKey(os.urandom(32), content=new_id(), day=DAY)
    nonces = {key.seal_part(Part.TRACE, b"same")[:12] for _ in range(100)}
    assert len(nonces) == 100


@pytest.mark.parametrize("length", [0, 27])
def test_too_short_a_seal_is_refused(length: int) -> None:
    with pytest.raises(ContentRefused):
        unseal(AESGCM(os.urandom(32)), bytes(length), b"")


def test_a_key_belongs_to_one_content() -> None:
    octets = os.urandom(32)
    key = MessageKey(octets, content=UUID(int=7), day=DAY)
    key.check(UUID(int=7), key.commitment)
    with pytest.raises(ContentRefused):
        key.check(UUID(int=8), key.commitment)
    with pytest.raises(ContentRefused):
        key.check(UUID(int=7), os.urandom(32))
    with pytest.raises(ContentRefused):
        MessageKey(octets[:31], content=UUID(int=7), day=DAY)


def test_secrets_do_not_show() -> None:
    secret = Secret(b"letterlock!" * 3)
    key = MessageKey(os.urandom(32), content=UUID(int=7), day=DAY)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r}", repr([secret]), f"{secret:}"):
        assert "letterlock!" not in shown
    for hidden in (secret, key):
        with pytest.raises(TypeError):
            pickle.dumps(hidden)
        with pytest.raises(TypeError):
            vars(hidden)
        assert key.fingerprint_key.hex() not in repr(hidden)
    assert secret == Secret(b"letterlock!" * 3)
    assert secret != Secret(b"another")


def test_ids_are_uuid7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == 1000
    for each in ids:
        assert (each.version, each.variant) == (7, "specified in RFC 4122")
        assert before <= each.int >> 80 <= after
