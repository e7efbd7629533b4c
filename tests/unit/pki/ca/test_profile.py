"""Profiles: what they may say."""

from __future__ import annotations

from typing import Any

import pytest

from letterlock.pki.ca.errors import ProfileInvalid
from letterlock.pki.ca.profile import Profile, made, plain

pytestmark = pytest.mark.req("C5")


def test_the_default_follows_the_rules_for_public_certificates() -> None:
    profile = Profile()
    assert profile == made({}) == made(plain(profile))
    assert profile.days <= 825
    assert profile.purposes == ("emailProtection",)
    assert (profile.crl, profile.issuer, profile.ocsp) == (True, True, True)


@pytest.mark.parametrize(
    ("key", "usages"),
    [("rsa-2048", {"digital_signature", "key_encipherment"}), ("ec-p384", {"digital_signature", "key_agreement"})],
)
def test_key_usage_fits_the_key(key: str, usages: set[str]) -> None:
    assert made({"key": key}).usages() == usages


@pytest.mark.parametrize(
    "body",
    [
        {"days": 0},
        {"days": 1186},
        {"days": 10, "renew_days": 10},
        {"key": "rsa-1024"},
        {"purposes": ["serverAuth", "emailProtection"]},
        {"purposes": ["clientAuth"]},
        {"key_usage": ["key_cert_sign"]},
        {"country": "Netherlands"},
        {"organisation": "x" * 65},
        {"colour": "red"},
        {"days": "90"},
        [],
    ],
)
def test_what_no_profile_may_say(body: Any) -> None:
    with pytest.raises(ProfileInvalid):
        made(body)
