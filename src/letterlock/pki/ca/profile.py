"""Profiles: what a certificate of ours looks like. The defaults follow the rules for public S/MIME certificates.

Guarantees
    A Profile is checked when it is made: whatever it says, a certificate is for mail and for nothing else.

Standards
    RFC 5280 4.2, RFC 8550 4 (certificates for S/MIME), RFC 4262; CA/Browser Forum, S/MIME baseline requirements 6.3.2
    (at most 1185 days, 825 for strict and multipurpose ones), 7.1.2.3 (key usage, CRL distribution point, purposes).

Raises
    ProfileInvalid, with a sentence.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from letterlock.pki.ca.errors import ProfileInvalid

LONGEST_DAYS: Final = 1185
KEYS: Final = ("rsa-2048", "rsa-3072", "rsa-4096", "ec-p256", "ec-p384")
PURPOSES: Final = {"emailProtection": "1.3.6.1.5.5.7.3.4", "clientAuth": "1.3.6.1.5.5.7.3.2"}
USAGES: Final = ("digital_signature", "content_commitment", "key_encipherment", "key_agreement")
DEFAULT: Final = "smime"


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes into certificates. ``days``: how long one lasts; ``renew_days``: before its end the next one is made.

    ``crl``, ``issuer``, ``ocsp``: whether it says where the list of revocations, the issuer's certificate and the OCSP
    responder are. ``key_usage`` empty: what the kind of key calls for. ``policies``: OIDs. ``on_token``: keys are made
    on the PKCS #11 token, which they never leave.
    """

    days: int = 730
    renew_days: int = 30
    key: str = "rsa-2048"
    purposes: tuple[str, ...] = ("emailProtection",)
    key_usage: tuple[str, ...] = ()
    crl: bool = True
    issuer: bool = True
    ocsp: bool = True
    organisation: str = ""
    country: str = ""
    policies: tuple[str, ...] = ()
    on_token: bool = False

    def usages(self) -> frozenset[str]:
        """The key usages: RSA keys sign and unwrap, EC keys sign and agree (RFC 8550 4.4.2)."""
        if self.key_usage:
            return frozenset(self.key_usage)
        return frozenset({"digital_signature", "key_encipherment" if self.key.startswith("rsa") else "key_agreement"})


def made(body: Any) -> Profile:
    """The Profile of plain values. Raises ProfileInvalid."""
    try:
        profile = msgspec.convert(body, Profile)
    except msgspec.ValidationError as error:
        raise ProfileInvalid(f"The profile is not valid: {error}.") from None
    faults = []
    if not 1 <= profile.days <= LONGEST_DAYS:
        faults.append(f"days is from 1 to {LONGEST_DAYS}")
    if not 0 <= profile.renew_days < profile.days:
        faults.append("renew_days is less than days")
    if profile.key not in KEYS:
        faults.append(f"key is one of {', '.join(KEYS)}")
    if "emailProtection" not in profile.purposes or not set(profile.purposes) <= set(PURPOSES):
        faults.append("purposes are emailProtection and, if wanted, clientAuth")
    if not set(profile.key_usage) <= set(USAGES):
        faults.append(f"key_usage is of {', '.join(USAGES)}")
    if profile.country and not (len(profile.country) == 2 and profile.country.isascii() and profile.country.isupper()):
        faults.append("country has two capital letters")
    if len(profile.organisation) > 64:  # RFC 5280 A.1 ub-organization-name
        faults.append("organisation has at most 64 characters")
    if faults:
        raise ProfileInvalid(f"The profile is not valid: {'; '.join(faults)}.")
    return profile


def plain(profile: Profile) -> dict[str, Any]:
    """The values of a Profile, as they are stored."""
    values: dict[str, Any] = msgspec.to_builtins(profile)
    return values
