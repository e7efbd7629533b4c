"""The world around a gateway: an organisation, strangers with and without certificates, a next hop that keeps all mail.

Guarantees
    ``inside.test`` is ours; every other domain is outside. All mail in both directions goes to one next hop.
    Addresses made by ``someone()`` are new each time, so tests that share a world do not meet.

See also
    ``tests/fakes`` for the parts.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

from tests.fakes.authority import PKCS12_KEYS, Authority, Identity, KeyKind
from tests.fakes.installation import Installation
from tests.fakes.next_hop import Arrival, NextHop

PASSWORD = "story"
SETTINGS = {"relay_networks": "127.0.0.1/32"}


class World:
    """An installation that runs, its next hop, and the authority it trusts."""

    def __init__(self, settings: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.hop = NextHop()
        self.hop.open()
        self.authority = Authority.create(key="rsa2048")
        self.gateway = Installation.create(environment)
        self._settings = {
            **SETTINGS,
            "next_hop_outgoing": self.hop_name,
            "next_hop_incoming": self.hop_name,
            **(settings or {}),
        }
        self._numbers = itertools.count(1)

    @property
    def hop_name(self) -> str:
        """The next hop as a setting names it."""
        return f"[127.0.0.1]:{self.hop.port}"

    def __enter__(self) -> World:
        try:
            self.gateway.start()
            for name, value in self._settings.items():
                self.set(name, value)
            self.gateway.cli("domain", "add", "inside.test", "--internal")
            self.trust(self.authority)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.gateway.stop()
        self.gateway.remove()
        self.hop.close()

    # what an administrator does

    def set(self, name: str, value: str, *where: str) -> None:
        """``setting set``; ``where``: --user ADDRESS, --domain NAME."""
        self.gateway.cli("setting", "set", *where, name, value)

    def trust(self, authority: Authority) -> None:
        """``trust add``."""
        path = self.gateway.folder / f"anchor-{secrets.token_hex(4)}.pem"
        path.write_bytes(authority.pem)
        self.gateway.cli("trust", "add", str(path))

    def import_identity(self, who: Identity, *, key: bool) -> None:
        """``certificate import``: with the private key it is also a signer and decrypter."""
        path = self.gateway.folder / f"identity-{secrets.token_hex(4)}"
        packed = who.p12 if isinstance(who.key, PKCS12_KEYS) else who.sealed_pem
        path.write_bytes(packed(PASSWORD) if key else who.pem)
        self.gateway.cli("certificate", "import", str(path), *(["--password", PASSWORD] if key else []))

    # people

    def address(self, domain: str, name: str = "someone") -> str:
        """A new address."""
        return f"{name}{next(self._numbers)}@{domain}"

    def insider(self, *, key: KeyKind | None = "rsa2048") -> tuple[str, Identity | None]:
        """A new person of inside.test, with certificate and key at the gateway unless ``key`` is None."""
        address = self.address("inside.test", "insider")
        if key is None:
            return address, None
        identity = self.authority.issue(address, key)
        self.import_identity(identity, key=True)
        return address, identity

    def member(self, *, key: KeyKind = "rsa2048") -> tuple[str, Identity]:
        """A new person of inside.test whose certificate and key the gateway has."""
        address, identity = self.insider(key=key)
        assert identity is not None
        return address, identity

    def stranger(self, *, known: bool = True, key: KeyKind = "rsa2048") -> tuple[str, Identity]:
        """A new person outside; ``known``: the gateway has the certificate."""
        address = self.address("outside.test", "stranger")
        identity = self.authority.issue(address, key)
        if known:
            self.import_identity(identity, key=False)
        return address, identity

    # the queue

    def queued(self, *addresses: str) -> list[dict[str, Any]]:
        """What waits in the queue from or to one of these; a delivery names its recipients only."""
        wanted = set(addresses)
        return [entry for entry in self.gateway.queue() if wanted & {entry["sender"], *entry["recipients"]}]

    def wait_for_queued(
        self, address: str, fits: Callable[[dict[str, Any]], bool], within: float = 20.0
    ) -> dict[str, Any]:
        """The first entry from or to ``address`` that fits. Raises AssertionError after ``within`` seconds."""
        end = time.monotonic() + within
        while True:
            entries = self.queued(address)
            for entry in entries:
                if fits(entry):
                    return entry
            if time.monotonic() > end:
                raise AssertionError(f"nothing that fits is queued for {address}: {entries}")
            time.sleep(0.1)

    def wait_for_gone(self, *addresses: str, within: float = 30.0) -> None:
        """Until nothing from or to these waits in the queue. Raises AssertionError after ``within`` seconds."""
        end = time.monotonic() + within
        while left := self.queued(*addresses):
            if time.monotonic() > end:
                raise AssertionError(f"still queued for {addresses} after {within} s: {left}")
            time.sleep(0.1)

    def wait_for_held(self, sender: str) -> dict[str, Any]:
        """The held message of a sender."""
        return self.wait_for_queued(sender, lambda entry: entry["state"] == "held" and entry["sender"] == sender)

    def arrived(self, recipient: str, *, within: float = 20.0) -> Arrival:
        """The first mail for one address."""
        return self.hop.wait_for_recipient(recipient, within=within)[0]

    def quiet(self, recipient: str, until: Callable[[], object]) -> None:
        """After ``until()`` returned, nothing has come for this address."""
        until()
        came = [arrival.subject for arrival in self.hop.arrivals if recipient in arrival.recipients]
        assert not came, f"{recipient} got {came}"


def letter(
    sender: str, to: str, subject: str = "A letter", text: str = "Dear reader,\r\nall is well.\r\n", **more: str
) -> bytes:
    """A plain message as a mail program would submit it, CRLF; ``more``: further header fields."""
    fields = {
        "From": sender,
        "To": to,
        "Subject": subject,
        "Date": formatdate(localtime=False),
        "Message-ID": f"<{secrets.token_hex(8)}@client.test>",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{head}\r\n{text}".encode()
