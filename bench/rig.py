"""A gateway made for a measurement: a fresh installation, the peers' test keys, sign and encrypt for everything.

Order
    ``with Rig() as rig``: init, run, configure by the command line; at the end all of it is stopped and deleted.

Guarantees
    The same certificates as the peers use (``peers/pki.sh``): alice@sender.test signs, bob@rcpt.test is encrypted to.

See also
    ``tests/fakes/installation.py``, which starts and stops it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from load import processes  # noqa: E402  the path is set first
from tests.fakes.installation import Installation, free_port  # noqa: E402  the path is set first

PEERS = ROOT / "bench" / "peers"
STATE = Path(os.environ.get("STATE") or tempfile.mkdtemp(prefix="letterlock-peers-"))
"""Keys and peers of this run; of its own, because two runs at a time would stop each other's Postfix."""
if "STATE" not in os.environ:
    atexit.register(shutil.rmtree, STATE, ignore_errors=True)
SENDER, RECIPIENT = "alice@sender.test", "bob@rcpt.test"


def make_keys() -> Path:
    """The peers' keys and certificates, made once; returns their folder."""
    subprocess.run(["bash", PEERS / "pki.sh"], env={**os.environ, "STATE": str(STATE)}, check=True)
    keys = STATE / "pki"
    bundle = keys / "alice.p12"
    if not bundle.exists():
        subprocess.run(
            ["openssl", "pkcs12", "-export", "-in", keys / "alice.crt", "-inkey", keys / "alice.key",
             "-certfile", keys / "ca.crt", "-passout", "pass:bench", "-out", bundle],
            check=True,
        )  # fmt: skip
    return keys


class Rig:
    """One gateway under load and the port its output goes to."""

    def __init__(self, settings: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.sink_port = free_port()
        self.settings = {
            "relay_networks": "127.0.0.0/8",
            "next_hop_outgoing": f"127.0.0.1:{self.sink_port}",
            "next_hop_incoming": f"127.0.0.1:{self.sink_port}",
            "encrypt_mode": "mandatory",
            **(settings or {}),
        }
        self.keys = make_keys()
        self.installation = Installation.create(environment)
        self.ready_after = 0.0

    def __enter__(self) -> Rig:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
        try:
            self.ready_after = self.installation.start()
            self.configure()
        except BaseException:
            self.installation.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.installation.stop()
        self.installation.remove()

    def configure(self) -> None:
        """What an administrator would type."""
        cli = self.installation.cli
        for name, value in self.settings.items():
            cli("setting", "set", name, value)
        cli("domain", "add", "sender.test", "--internal")
        cli("trust", "add", str(self.keys / "ca.crt"))
        cli("certificate", "import", str(self.keys / "alice.p12"), "--password", "bench")
        cli("certificate", "import", str(self.keys / "bob.crt"))

    @property
    def process(self) -> int:
        """The id of the process that started all others."""
        assert self.installation.run is not None
        return self.installation.run.pid

    def pss_mb(self) -> float:
        """Memory of all its processes now, each shared page counted once."""
        return processes.proportional_octets(processes.tree([self.process])) / 1e6

    def opens(self, saved: Iterable[Path]) -> dict[str, int]:
        """Decrypt and verify saved messages with openssl: how many were opened, and how many not."""
        outcome = {"opened": 0, "failed": 0}
        for path in saved:
            outcome["opened" if open_with_openssl(path, self.keys) else "failed"] += 1
        return outcome


def open_with_openssl(path: Path, keys: Path) -> bool:
    """True when bob can decrypt it and alice's signature inside is good and trusted."""
    decrypted = subprocess.run(
        ["openssl", "cms", "-decrypt", "-in", path, "-recip", keys / "bob.crt", "-inkey", keys / "bob.key"],
        capture_output=True,
        check=False,
    )
    if decrypted.returncode != 0:
        return False
    verified = subprocess.run(
        ["openssl", "cms", "-verify", "-CAfile", keys / "ca.crt", "-out", os.devnull],
        input=decrypted.stdout,
        capture_output=True,
        check=False,
    )
    return verified.returncode == 0


def smtpload(**options: Any) -> dict[str, Any]:
    """Run smtpload.py in a process of its own; True stands for a flag. Returns its account."""
    import json

    arguments = []
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            flag = "--" + name.replace("_", "-")
            arguments += [flag] if each is True else [flag, str(each)]
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "smtpload.py", *arguments], capture_output=True, text=True, check=False
    )
    if not done.stdout.startswith("{"):
        raise SystemExit(f"smtpload failed: {done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout))
