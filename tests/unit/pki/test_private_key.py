"""A key in the keyholder's care asks for one leased message and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from letterlock.pki.private_key import KeyholderKey, PrivateKey


class Recorder:
    """Stands for KeyholderClient; keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def sign(self, *given: Any) -> bytes:
        self.asked.append(("sign", *given))
        return b"signature"

    async def unwrap(self, *given: Any) -> bytes:
        self.asked.append(("unwrap", *given))
        return b"key"

    async def agree(self, *given: Any) -> bytes:
        self.asked.append(("agree", *given))
        return b"secret"


def test_each_use_names_lease_message_and_key() -> None:
    keyholder, lease, message, key = Recorder(), uuid4(), uuid4(), uuid4()
    private: PrivateKey = KeyholderKey(keyholder, lease, message, key)

    async def use() -> list[bytes]:
        return [
            await private.sign(b"tbs", "ecdsa-sha256"),
            await private.unwrap("rsa-pkcs1", b"wrapped", 32),
            await private.agree("ecdh-p256", b"peer"),
        ]

    assert asyncio.run(use()) == [b"signature", b"key", b"secret"]
    assert keyholder.asked == [
        ("sign", lease, message, key, b"tbs", "ecdsa-sha256"),
        ("unwrap", lease, message, key, "rsa-pkcs1", b"wrapped", 32),
        ("agree", lease, message, key, "ecdh-p256", b"peer"),
    ]
