"""A PKCS #11 token: SoftHSM with a folder of its own, which can be taken away and put back.

Order
    ``with soft_token(folder) as token``: inside, SOFTHSM2_CONF names it for this process and those it starts.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PIN = "13571357"
LABEL = "letterlock test"


def module() -> str:
    """Path of SoftHSM's module. Raises AssertionError when it is not installed."""
    places = ("/usr/lib/softhsm/libsofthsm2.so", *map(str, Path("/usr/lib").glob("*/softhsm/libsofthsm2.so")))
    found = [each for each in places if Path(each).exists()]
    assert found, "SoftHSM is missing: install softhsm2"
    return found[0]


@dataclass(frozen=True)
class SoftToken:
    """The token. ``folder``: where SoftHSM keeps it."""

    folder: Path
    module: str
    uri: str = f"pkcs11:token={LABEL.replace(' ', '%20')}"

    def go_away(self) -> None:
        """As if it were pulled."""
        (self.folder / "tokens").rename(self.folder / "pulled")

    def come_back(self) -> None:
        """As if it were plugged in again."""
        (self.folder / "pulled").rename(self.folder / "tokens")

    def pin_file(self, pin: str = PIN) -> Path:
        """A file with the PIN, that only its owner may read."""
        path = self.folder / "pin"
        path.touch(mode=0o600)
        path.write_text(f"{pin}\n")
        return path


@contextmanager
def soft_token(folder: Path) -> Iterator[SoftToken]:
    """A new token in ``folder``."""
    (folder / "tokens").mkdir(parents=True)
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    try:
        words = ("--init-token", "--free", "--label", LABEL, "--so-pin", "24682468", "--pin", PIN)
        subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)
        yield SoftToken(folder, module())
    finally:
        if before is None:
            del os.environ["SOFTHSM2_CONF"]
        else:
            os.environ["SOFTHSM2_CONF"] = before
