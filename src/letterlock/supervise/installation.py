"""Opens an installation for work: its settings read and checked, this process its user, its profile kept.

Raises
    NotInstalled, ConfigInvalid, UnknownUser, ProviderMissing.
"""

from __future__ import annotations

import os
from pathlib import Path

from letterlock.config import approved
from letterlock.config.load import load
from letterlock.config.settings import Settings
from letterlock.supervise import identity, place
from letterlock.vault import provider


def enter(state: Path) -> Settings:
    """The settings of the installation in ``state``; from now on this process is run by its user."""
    place.require_installation(state)
    settings = load(state / place.SETTINGS_FILE, os.environ)
    approved.keep(settings.run.crypto_profile)
    provider.require(settings)
    identity.become(settings.run.user)
    return settings
