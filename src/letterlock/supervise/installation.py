"""Opens an installation for work: its settings read and checked, and this process its user.

Raises
    NotInstalled, ConfigInvalid, UnknownUser.
"""

from __future__ import annotations

import os
from pathlib import Path

from letterlock.config.load import load
from letterlock.config.settings import Settings
from letterlock.supervise import identity, place


def enter(state: Path) -> Settings:
    """The settings of the installation in ``state``; from now on this process is run by its user."""
    place.require_installation(state)
    settings = load(state / place.SETTINGS_FILE, os.environ)
    identity.become(settings.run.user)
    return settings
