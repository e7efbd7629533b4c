"""Settings about addresses as such: which are ours, and who answers for the installation."""

from __future__ import annotations

from letterlock.policy.settings.declare import DOMAINS, EVERYWHERE, Setting
from letterlock.policy.settings.kinds import Choice
from letterlock.policy.settings.texts import ADDRESS

LOCALITY = Setting(
    "locality",
    Choice("external", "internal"),
    "external",
    "Internal recipients get mail decrypted and marked; external ones get it encrypted as their settings ask.",
    EVERYWHERE,
    "recipient",
)
POSTMASTER = Setting(
    "postmaster",
    ADDRESS,
    "postmaster@localhost",
    "The address reports and notices name as their author's contact, and where mail for postmaster goes.",
    DOMAINS,
    "sender",
)
