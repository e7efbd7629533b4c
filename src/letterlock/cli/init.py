"""``letterlock init``: a working installation in the state folder.

Order
    The folder; the settings file; the keys (keyholder/ring.py); the database with its schema and the organisation
    ``default``; then everything a command needs is started once, as proof, and stopped.

Guarantees
    It replaces nothing: what is there stays, what is missing is made. So it may be said again after a failure.
    A new state folder is closed to others; as root others may pass through it (0711), since the database is run by a
    user of its own, but not look into it or into anything below.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from letterlock.config import approved, sample
from letterlock.config.load import load
from letterlock.config.settings import Settings
from letterlock.errors import UsageError
from letterlock.keyholder import ring
from letterlock.supervise import identity, place
from letterlock.supervise.supervisor import Supervisor
from letterlock.vault import provider

CLOSING = """\
Letterlock is ready to be set up in {state}.

The next three commands:
  letterlock {option}domain add example.com --internal     say which domain is yours
  letterlock {option}certificate import FILE               give it certificates and keys
  letterlock {option}run                                   take and send mail

{file} says where it listens. Keep a copy of {keys} on another
medium, apart from the database: without these keys no stored message can ever be read again."""


class FolderInUse(UsageError):
    """The state folder is not empty and no installation."""


def add_parser(subparsers: Any) -> None:
    """``init --state DIR``."""
    parser = subparsers.add_parser("init", help="make a working installation in the state folder")
    parser.add_argument("--user", default="", help="as root: the system user that shall run it ([run] user)")


async def run(arguments: argparse.Namespace, _door: None) -> int:
    """Make what is missing, prove that it works, say what comes next."""
    state = place.state_folder(arguments.state)
    was_there = (state / place.SETTINGS_FILE).exists()
    settings = _make_files(state, arguments.user)
    approved.keep(settings.run.crypto_profile)
    provider.require(settings)
    identity.become(settings.run.user)
    ring.create(state, settings.keys.root)
    supervisor = Supervisor(state, settings, offline=True)
    try:
        await supervisor.start()
    finally:
        await supervisor.stop()
    if was_there:
        print(f"There is an installation in {state} already; it is complete, and nothing in it was replaced.")
        return 0
    option = "" if os.environ.get("LETTERLOCK_STATE") == str(state) else f"--state {state} "
    print(CLOSING.format(state=state, option=option, file=state / place.SETTINGS_FILE, keys=ring.folder_of(state)))
    return 0


def _make_files(state: Path, user: str) -> Settings:
    """The folder and the settings file; the settings. Raises FolderInUse, ConfigInvalid, ProviderMissing."""
    if state.is_dir() and any(state.iterdir()) and not (state / place.SETTINGS_FILE).exists():
        raise FolderInUse(f"{state} is not empty and holds no installation: name an empty or a new folder.")
    if not state.exists():
        state.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700)
        identity.give(state, user)
    file = state / place.SETTINGS_FILE
    if not file.exists():
        # Checked before it is written: what the environment says wrongly shall not leave half an installation.
        provider.require(load(None, os.environ))
        file.touch(mode=0o600)
        file.write_text(sample.sample({"run": {"user": user}} if user else None), encoding="utf-8")
        identity.give(file, user)
    return load(file, os.environ)
