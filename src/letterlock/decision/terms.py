"""The settings that hold between one sender and one recipient, combined once and kept as long as the policy stands.

Guarantees
    Pure. Every value comes from its declared combiner; nothing is weighed here.

See also
    ``policy/settings/`` for the declarations; ``choose.py`` and ``outgoing.py``, which read terms.
"""

from __future__ import annotations

from typing import Literal, cast

import msgspec

from letterlock.policy.domains import Route, route
from letterlock.policy.effective import Combined, EffectiveSettings, combine
from letterlock.policy.settings import encryption, relay, smime
from letterlock.smime.capabilities import EncryptionPolicy

Mode = Literal["none", "allow", "mandatory"]


class Terms(msgspec.Struct, frozen=True):
    """What sender's and recipient's settings say together. Sizes in octets; ``tls_min``: a place in TLS_LEVELS."""

    mode: Combined[str]
    smime: Combined[bool]
    max_size: Combined[int]
    skip_calendar: Combined[bool]
    skip_sign_calendar: Combined[bool]
    cipher: Combined[str]
    floor: Combined[str]
    methods: Combined[tuple[str, ...]]
    additional: Combined[tuple[str, ...]]
    header: Combined[str]
    display: Combined[bool]
    tls: Combined[str]
    tls_min: int
    outgoing: Route
    incoming: Route

    @property
    def asked(self) -> Mode:
        """The mode both sides' settings come to, before triggers and findings."""
        return cast("Mode", self.mode.value)

    @property
    def policy(self) -> EncryptionPolicy:
        """The content encryption asked for and the floor; what is asked for below the floor gives way to it."""
        least = smime.FLOORS[self.floor.value]
        asked = self.cipher.value
        if asked != "auto" and not least.holds(asked):
            asked = "auto"
        return EncryptionPolicy(asked, least_key_octets=least.key_octets, authenticated=least.authenticated)


def between(address: str, sender: EffectiveSettings, recipient: EffectiveSettings) -> Terms:
    """The terms for mail from ``sender`` to the recipient ``address``."""
    tls = combine(relay.TLS_OUT, sender, recipient)
    return Terms(
        mode=combine(encryption.ENCRYPT_MODE, sender, recipient),
        smime=combine(smime.SMIME_ENABLED, sender, recipient),
        max_size=combine(smime.SMIME_MAX_SIZE, sender, recipient),
        skip_calendar=combine(smime.SMIME_SKIP_CALENDAR, sender, recipient),
        skip_sign_calendar=combine(smime.SMIME_SKIP_SIGN_CALENDAR, sender, recipient),
        cipher=combine(smime.SMIME_ENCRYPTION_ALG, sender, recipient),
        floor=combine(smime.SMIME_ENCRYPTION_FLOOR, sender, recipient),
        methods=combine(encryption.METHOD_ORDER, sender, recipient),
        additional=_additional(sender, recipient),
        header=combine(smime.SMIME_HEADER_PROTECTION, sender, recipient),
        display=combine(smime.SMIME_LEGACY_DISPLAY, sender, recipient),
        tls=tls,
        tls_min=relay.TLS_LEVELS.index(tls.value),
        outgoing=route(address, "outgoing", sender, recipient),
        incoming=route(address, "incoming", sender, recipient),
    )


def _additional(sender: EffectiveSettings, recipient: EffectiveSettings) -> Combined[tuple[str, ...]]:
    """The additional certificates' addresses; none when either side wants none added."""
    named = combine(smime.SMIME_ADDITIONAL_CERTIFICATES, sender, recipient)
    return named if combine(smime.SMIME_ADD_ADDITIONAL_CERTS, sender, recipient).value else named._replace(value=())
