"""What can go wrong at the certificate authority."""

from __future__ import annotations

from letterlock.errors import PermanentError


class AuthorityError(PermanentError):
    """The certificate authority cannot do that."""


class NoAuthority(AuthorityError):
    """There is no such authority; 'letterlock ca list' shows those there are."""


class ProfileInvalid(AuthorityError):
    """The profile is not valid."""


class RequestInvalid(AuthorityError):
    """The request for a certificate is not valid."""
