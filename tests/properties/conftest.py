"""How many examples the properties try: usually Hypothesis's own number, with LETTERLOCK_FUZZ=long (`make fuzz`)
many."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("usual", deadline=None)
settings.register_profile(
    "long", deadline=None, max_examples=20_000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("long" if os.environ.get("LETTERLOCK_FUZZ") == "long" else "usual")
