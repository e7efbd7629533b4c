"""Settings that say whether mail must be protected, by what, and who is told."""

from __future__ import annotations

from letterlock.policy.settings.declare import DOMAINS, EVERYWHERE, Setting, strictest
from letterlock.policy.settings.kinds import Choice, Flag, Listed

MODES = ("none", "allow", "mandatory")
METHODS = ("smime", "smime-domain", "pdf", "portal")

ENCRYPT_MODE = Setting(
    "encrypt_mode",
    Choice(*MODES),
    "allow",
    "none: not encrypted; allow: encrypted when a method can be used; mandatory: encrypted or not sent.",
    EVERYWHERE,
    "both",
    # The order of demands is none < allow < mandatory; but none is the opt-out of allow, on either side.
    strictest("allow", "none", "mandatory"),
)
METHOD_ORDER = Setting(
    "method_order",
    Listed(
        Choice(*METHODS), "methods in the order they are tried: smime, smime-domain, pdf, portal", most=len(METHODS)
    ),
    METHODS,
    "The methods tried for a recipient, best first; a method not listed is not used.",
    DOMAINS,
    "recipient",
)
CLIENT_ENCRYPTED = Setting(
    "client_encrypted",
    Choice("pass", "hold", "refuse", "open-or-pass", "open-or-hold", "open-or-refuse"),
    "pass",
    "What happens to outgoing mail that the sender's own program has encrypted; open: with the sender's key, and anew.",
    EVERYWHERE,
    "sender",
)
ENCRYPTION_NOTIFICATION = Setting(
    "encryption_notification",
    Flag(),
    False,
    "The sender is told that, and how, a message was encrypted.",
    EVERYWHERE,
    "sender",
)
ENCRYPTION_FAILED_NOTIFICATION = Setting(
    "encryption_failed_notification",
    Flag(),
    True,
    "The sender is told of a message held; when mandatory encryption is why, this cannot be turned off.",
    EVERYWHERE,
    "sender",
)
