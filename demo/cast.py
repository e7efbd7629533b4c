"""Who takes part: two people of the clinic, and the outside world they write with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from authority import PASSWORD, Authority, Person
from gateway import Gateway

OURS = "clinic.example"
ANNA, BEN = f"anna@{OURS}", f"ben@{OURS}"
CARLA = "carla@partner.example"  # has a certificate that the gateway knows
DAVID = "david@friends.example"
ERIN = "erin@public.example"
MALLORY = "mallory@evil.example"


@dataclass(frozen=True)
class Cast:
    """Those who have a certificate, and who issued it."""

    authority: Authority
    anna: Person
    carla: Person


def make(folder: Path) -> Cast:
    """Issue the certificates."""
    folder.mkdir(mode=0o700)
    authority = Authority(folder)
    return Cast(authority, authority.issue(ANNA), authority.issue(CARLA))


def introduce(gateway: Gateway, cast: Cast, next_hop: int) -> None:
    """Tell the gateway what an administrator would: domain, trust, certificates, ways. Only by its command line."""
    gateway.command("domain", "add", OURS, "--internal")
    gateway.command("trust", "add", str(cast.authority.certificate))
    gateway.command("certificate", "import", str(cast.anna.bundle), "--password", PASSWORD)
    gateway.command("certificate", "import", str(cast.carla.certificate))
    gateway.command("setting", "set", "relay_networks", "127.0.0.1/32")
    gateway.command("setting", "set", "next_hop_outgoing", f"[127.0.0.1]:{next_hop}")
    gateway.command("setting", "set", "next_hop_incoming", f"[127.0.0.1]:{next_hop}")
