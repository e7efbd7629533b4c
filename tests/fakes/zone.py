"""A signed zone and a validating resolver for tests: Debian's unbound on loopback, trusting a key made here.

Guarantees
    The resolver asks nobody on the network. Nothing of the machine's own unbound is read or written. What was started
    is ended by its process id and deleted.

Raises
    AssertionError when unbound is missing or does not start.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.node
import dns.query
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.transaction
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.fetch.dns import owner_name
from tests.fakes.directory import free_port

_HEAD = """\
$TTL 3600
@ IN SOA ns.{name}. root.{name}. 1 3600 600 86400 300
@ IN NS ns.{name}.
ns IN A 192.0.2.1
"""
_CONFIGURATION = """\
server:
  interface: 127.0.0.1@{port}
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  module-config: "validator iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
{anchors}
remote-control:
  control-enable: no
{zones}
"""
_ZONE = """\
auth-zone:
  name: "{name}."
  zonefile: "{folder}/{name}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"""


def record(certificate: bytes, usage: int = 3, selector: int = 0, matching: int = 0) -> str:
    """The text of an SMIMEA record."""
    return f"{usage} {selector} {matching} {certificate.hex()}"


class Zone:
    """One zone. ``signed``: by a key of its own; ``believed``: the resolver has that key as its anchor."""

    def __init__(self, name: str, *, signed: bool = True, believed: bool = True) -> None:
        self.name = name
        self.signed = signed
        self.believed = believed and signed
        self.damaged = False
        self._lines = [_HEAD.format(name=name)]
        self.anchor = ""

    def add(self, address: str, *records: str) -> str:
        """SMIMEA records of an address; the name they stand at."""
        owner = owner_name(address)
        self._lines += [f"{owner}. IN SMIMEA {each}" for each in records]
        return owner

    def alias(self, address: str, target: str, kind: str = "CNAME") -> None:
        """An alias at the place of an address."""
        self._lines.append(f"{owner_name(address)}. IN {kind} {target}.")

    def line(self, text: str) -> None:
        """Any other record."""
        self._lines.append(text)

    def write(self, folder: Path) -> None:
        """The zone file, signed."""
        zone = dns.zone.from_text("\n".join(self._lines) + "\n", origin=f"{self.name}.", relativize=False)
        if self.signed:
            private = ec.generate_private_key(ec.SECP256R1())
            key = dns.dnssec.make_dnskey(private.public_key(), "ECDSAP256SHA256", flags=257)
            with zone.writer() as writer:
                dns.dnssec.sign_zone(zone, writer, keys=[(private, key)], lifetime=86400)
            self.anchor = f"{self.name}. IN DNSKEY {key.to_text()}"
        text = zone.to_text(relativize=False)
        if self.damaged:
            text = text.replace("SMIMEA 3 0 0 3082", "SMIMEA 3 0 0 3083")
        (folder / self.name).write_text(text + "\n")


class Resolver:
    """unbound with these zones, from the start of a ``with`` to its end."""

    def __init__(self, *zones: Zone) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ll-unbound-"))
        self.port = free_port()
        self.zones = zones
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def setting(self) -> str:
        """As the setting dnssec_resolver names it."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Resolver:
        unbound = shutil.which("unbound", path="/usr/sbin:/usr/bin")
        assert unbound, "unbound is missing: install Debian's package unbound"
        for zone in self.zones:
            zone.write(self.folder)
        anchors = "\n".join(f"  trust-anchor: '{zone.anchor}'" for zone in self.zones if zone.believed)
        configuration = self.folder / "unbound.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                port=self.port,
                folder=self.folder,
                anchors=anchors,
                zones="".join(_ZONE.format(name=zone.name, folder=self.folder) for zone in self.zones),
            )
        )
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen([unbound, "-d", "-c", configuration], stdout=log, stderr=log)
        self._wait_serving()
        return self

    def _wait_serving(self) -> None:
        end = time.monotonic() + 20
        question = dns.message.make_query(f"{self.zones[0].name}.", "SOA")
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            try:
                dns.query.udp(question, "127.0.0.1", 0.2, self.port)
            except (OSError, dns.exception.DNSException):
                time.sleep(0.02)
                continue
            return
        said = (self.folder / "log").read_text()
        self.__exit__()
        raise AssertionError(f"unbound does not start: {said}")

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
        shutil.rmtree(self.folder)
