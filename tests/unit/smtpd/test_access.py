"""Who may relay and to whom; settings are used while they are confirmed, and no longer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.database.errors import DatabaseUnavailable
from letterlock.mail.address import Address
from letterlock.smtp.door import Profile
from letterlock.smtp.syntax import CommandRefused
from letterlock.smtpd import access
from letterlock.smtpd.access import ListenerPolicy, PolicyKeeper, PolicyUnavailable
from letterlock.smtpd.tls import Certificate
from tests.fakes.smtpd import ORGANISATION, policy

NETWORKS = ["192.0.2.0/24", "2001:db8::/32"]


@pytest.mark.req("A1")
@pytest.mark.parametrize(
    ("address", "relay"),
    [
        ("192.0.2.7", True),
        ("192.0.3.7", False),
        ("::ffff:192.0.2.7", True),
        ("::ffff:192.0.3.7", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("fe80::1%eth0", False),
        ("127.0.0.1", False),
    ],
)
def test_relay_by_network(address: str, relay: bool) -> None:
    assert policy(relay_networks=NETWORKS).peer(address).relay is relay
    assert policy(relay_networks=[]).peer(address).relay is False


@pytest.mark.req("A1")
def test_relay_by_certificate_only_when_listed() -> None:
    certificate = Certificate("CN=x", frozenset({"mail.client.test", "sha256:ab"}))
    listed = dataclasses.replace(policy(), relay_certificates=frozenset({"sha256:ab"}))
    assert policy(relay_certificates=["mail.client.test"]).peer("203.0.113.1", certificate).relay
    assert listed.peer("203.0.113.1", certificate).relay
    assert not listed.peer("203.0.113.1").relay
    assert not policy().peer("203.0.113.1", certificate).relay
    assert not listed.peer("203.0.113.1", Certificate("CN=x", frozenset({"sha256:cd"}))).relay


def test_xforward_is_no_right_to_relay() -> None:
    peer = policy(relay_networks=[], xforward_peers=["192.0.2.1/32"]).peer("192.0.2.1")
    assert (peer.relay, peer.xforward) == (False, True)


@given(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["ours.test", "a.ours.test", "elsewhere.test", "xours.test", "test"]),
)
def test_a_stranger_reaches_our_domains_and_nothing_else(local: str, domain: str) -> None:
    rules = policy()
    stranger = rules.peer("203.0.113.1")
    quoted = local.replace("\\", "").replace('"', "")
    try:
        address = Address.parse(f'"{quoted}"@{domain}')
    except LookupError:
        return
    except Exception as error:
        assert type(error).__name__ == "AddressInvalid"
        return
    try:
        taken = rules.recipient(stranger, address)
    except CommandRefused as error:
        assert error.reply.code == 550
        assert domain not in ("ours.test", "a.ours.test") or set("%!@") & set(address.local)
    else:
        assert taken == address
        assert domain in ("ours.test", "a.ours.test")
        assert not set("%!@") & set(address.local)


def test_the_postmaster_is_always_there() -> None:
    rules = policy(postmaster="admin@elsewhere.test")
    assert str(rules.recipient(rules.peer("203.0.113.1"), None)) == "admin@elsewhere.test"


def test_newlines_are_normalised_for_ours_only() -> None:
    rules = policy(bare_newline="normalise")
    assert rules.profile(rules.peer("127.0.0.1"), "mx.test", starttls=False).normalise
    assert not rules.profile(rules.peer("203.0.113.1"), "mx.test", starttls=False).normalise
    assert not policy().profile(rules.peer("127.0.0.1"), "mx.test", starttls=False).normalise


def test_the_defaults_of_settings_and_of_the_protocol_agree() -> None:
    rules = ListenerPolicy.of(1, {}, [])
    assert rules.profile(rules.peer("127.0.0.1"), "mx.test", starttls=False) == Profile("mx.test")


def test_organisations() -> None:
    other = UUID(int=9)
    rules = ListenerPolicy.of(1, {}, [("first.test", True, ORGANISATION), ("theirs.test", False, other)])
    assert rules.organisation_of("a@first.test", "b@theirs.test") == other
    assert rules.organisation_of("a@theirs.test", "b@elsewhere.test") == other
    assert rules.organisation_of("", "b@elsewhere.test") == ORGANISATION
    assert ListenerPolicy.of(1, {}, []).organisation_of("", "b@elsewhere.test") == UUID(int=0)


class Source:
    """policy.revision and policy.listener."""

    def __init__(self) -> None:
        self.revision = 1
        self.read = 0
        self.away = False

    async def ask(self) -> int:
        if self.away:
            raise DatabaseUnavailable
        return self.revision

    async def listen(self) -> ListenerPolicy:
        self.read += 1
        return policy(self.revision)


def keep(use: Callable[[PolicyKeeper, Source], Awaitable[None]]) -> None:
    source = Source()
    asyncio.run(_use(use, PolicyKeeper(source.ask, source.listen), source))


async def _use(use: Callable[[PolicyKeeper, Source], Awaitable[None]], keeper: PolicyKeeper, source: Source) -> None:
    await use(keeper, source)


def test_settings_are_read_again_only_when_the_revision_changes() -> None:
    async def use(keeper: PolicyKeeper, source: Source) -> None:
        with pytest.raises(PolicyUnavailable):
            keeper.current()
        await keeper.refresh()
        first = keeper.current()
        await keeper.refresh()
        assert (keeper.current(), source.read) == (first, 1)
        source.revision = 2
        await keeper.refresh()
        assert (keeper.current().revision, source.read) == (2, 2)

    keep(use)


def test_settings_nobody_confirms_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(keeper: PolicyKeeper, source: Source) -> None:
        await keeper.refresh()
        source.away = True
        with pytest.raises(DatabaseUnavailable):
            await keeper.refresh()
        assert keeper.current().revision == 1  # a short absence is waited out
        monkeypatch.setattr(access, "STALE_SECONDS", 0.0)
        with pytest.raises(PolicyUnavailable) as caught:
            keeper.current()
        assert (caught.value.code, caught.value.status) == (451, "4.3.0")
        source.away = False
        monkeypatch.undo()
        await keeper.refresh()
        assert keeper.current().revision == 1

    keep(use)


def test_the_keeper_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(keeper: PolicyKeeper, source: Source) -> None:
        monkeypatch.setattr(access, "REFRESH_SECONDS", 0.001)
        source.away = True
        task = asyncio.create_task(keeper.keep())
        await asyncio.sleep(0.02)
        source.away = False
        async with asyncio.timeout(5):
            while source.read == 0:
                await asyncio.sleep(0.001)
        task.cancel()
        assert keeper.current().revision == 1

    keep(use)
