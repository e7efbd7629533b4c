"""Settings of the certificate authority: who gets a certificate without being asked for.

See also
    ``pki/ca/pending.py`` (what becomes of it), ``flow/wanted.py`` (who wants one).
"""

from __future__ import annotations

from letterlock.policy.settings.declare import EVERYWHERE, Setting
from letterlock.policy.settings.kinds import Choice, Flag, Text

SMIME_AUTO_REQUEST_CERT = Setting(
    "smime_auto_request_cert",
    Flag(),
    False,
    "A sender of ours without a valid signing certificate gets one by itself, so that the next mail can be signed.",
    EVERYWHERE,
    "sender",
)
SMIME_REQUEST_HANDLER = Setting(
    "smime_request_handler",
    Choice("builtin", "delayed", "pkcs10"),
    "builtin",
    "How certificates are requested: from our own authority at once, after approval, or as PKCS #10 for one elsewhere.",
    EVERYWHERE,
    "sender",
)
SMIME_REQUEST_PROFILE = Setting(
    "smime_request_profile",
    Text("the name of a profile", most=64, empty=False),
    "smime",
    "The profile of certificates that are requested without being asked for.",
    EVERYWHERE,
    "sender",
)
