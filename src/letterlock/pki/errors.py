"""What can go wrong with certificates, keys and their files.

Guarantees
    No public text holds key material, a password or content; names of files and subjects may appear, they were given by
    the administrator who reads them.

See also
    ``reasons.Reason``: why a certificate is not used is an answer, not an error.
"""

from __future__ import annotations

from letterlock.errors import PermanentError, TemporaryError


class CertificateError(PermanentError):
    """The certificate or its file cannot be used."""


class MalformedCertificate(CertificateError):
    """The certificate cannot be read."""


class MalformedBundle(CertificateError):
    """The file holds nothing that can be read as a certificate or key."""


class WrongPassword(CertificateError):
    """The file needs a password, or the password is wrong."""


class KeyMismatch(CertificateError):
    """A private key in the file belongs to none of its certificates."""


class UnsupportedKey(CertificateError):
    """The private key is of a kind that is not supported."""


class MalformedCrl(CertificateError):
    """The revocation list cannot be read."""


class MalformedAnswer(CertificateError):
    """The OCSP answer cannot be read."""


class MalformedCase(CertificateError):
    """The case cannot be read."""


class TokenUriInvalid(CertificateError):
    """This is no PKCS #11 URI, such as pkcs11:token=NAME;object=LABEL."""


class TokenRefused(CertificateError):
    """The PKCS #11 token cannot do that with this key."""


class TokenAway(TemporaryError):
    """The PKCS #11 token does not answer; its keys are used again when it does."""


class PinRefused(TemporaryError):
    """The PKCS #11 token refused the PIN and is not asked again; set [pkcs11] pin right, then start Letterlock anew."""
