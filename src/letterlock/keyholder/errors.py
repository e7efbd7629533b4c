"""What can go wrong with the key ring.

Guarantees
    No text here holds a key or a passphrase.

See also
    ``vault/errors.py`` for what callers of the keyholder are told.
"""

from __future__ import annotations

from letterlock.errors import PermanentError, TemporaryError


class RingRefused(PermanentError):
    """The key ring does not fit, and the keyholder does not serve with it."""


class RootKeyMissing(PermanentError):
    """The root key is not there, so no key can be opened."""


class PinMissing(PermanentError):
    """The file with the PIN of the PKCS #11 token cannot be read ([pkcs11] pin)."""


class UseRefused(PermanentError):
    """This private key cannot be used that way."""


class SignerBusy(TemporaryError):
    """The private key could not be used in time; try again later."""


class ClocksDisagree(TemporaryError):
    """The clocks of this machine and of the database differ by more than 5 minutes; set them right first."""
