"""A key that is sent by mail: not where its mail would be encrypted, and what a gateway that refuses it is told of."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from letterlock.cli.ca_submit import NotTaken, check_readable, submit
from letterlock.config.settings import Listen
from letterlock.policy import calls
from letterlock.policy.calls import EffectiveValue, ListedDomain
from tests.fakes.office import now

SENDER, OWNER, COLLEAGUE = "pki@inside.test", "paula@partner.test", "anna@inside.test"


def check(monkeypatch: pytest.MonkeyPatch, owner: str, modes: dict[str, str]) -> None:
    async def explain(*_: object, **__: object) -> list[EffectiveValue]:
        return [EffectiveValue(each, "encrypt_mode", mode, "user", each) for each, mode in modes.items()]

    async def domains_list(*_: object, **__: object) -> list[ListedDomain]:
        return [ListedDomain("inside.test", True, UUID(int=1), "default", "admin", now())]

    monkeypatch.setattr(calls, "explain", explain)
    monkeypatch.setattr(calls, "domains_list", domains_list)
    door: Any = type("Door", (), {"gate": None, "token": b""})
    asyncio.run(check_readable(door, SENDER, owner))


@pytest.mark.req("C9")
@pytest.mark.parametrize("modes", [{SENDER: "mandatory"}, {OWNER: "mandatory"}, {SENDER: "none", OWNER: "mandatory"}])
def test_a_mail_that_its_reader_could_not_open_is_refused(
    modes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotTaken, match="before it has the key; use --out FILE"):
        check(monkeypatch, OWNER, modes)


@pytest.mark.req("C9")
@pytest.mark.parametrize(
    ("owner", "modes"), [(OWNER, {}), (OWNER, {SENDER: "none"}), (COLLEAGUE, {SENDER: "mandatory"})]
)
def test_a_mail_that_can_be_read_is_not(owner: str, modes: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch, owner, modes)


@pytest.mark.req("C9")
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("550 5.7.1 Relaying denied", "add 127.0.0.1/32 to relay_networks, or use --out FILE."),
        ("550 5.1.1 Unknown", "The gateway did not take the mail: 550 5.1.1 Unknown"),
    ],
)
def test_what_is_said_when_the_gateway_refuses_it(answer: str, sentence: str) -> None:
    async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in ("220 ready", "250 hello", "250 2.1.0 OK", answer):
            writer.write(each.encode() + b"\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    left = asyncio.Event()

    async def story() -> None:
        async with await asyncio.start_server(gateway, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(NotTaken) as caught:
                await submit(Listen("127.0.0.1", port), SENDER, OWNER, b"x\r\n")
            assert caught.value.public.endswith(sentence)
            await left.wait()

    asyncio.run(story())
