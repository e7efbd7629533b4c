"""The registry: declared once, checked with one clear sentence, and the reference page made from it."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from letterlock.policy.effective import EffectiveSettings, combine
from letterlock.policy.settings import ALL, SettingUnknown, find, limits
from letterlock.policy.settings.declare import GATEWAY, LEVELS, Combiner, Effective, Setting, registry, strictest
from letterlock.policy.settings.kinds import Flag, SettingInvalid
from letterlock.policy.settings.reference import reference

FIRST = {
    "locality",
    "encrypt_mode",
    "subject_trigger",
    "header_trigger",
    "sign_subject_trigger",
    "sign_header_trigger",
    "no_encrypt_trigger",
    "smime_enabled",
    "smime_sign",
    "smime_only_sign_when_encrypt",
    "smime_encryption_alg",
    "smime_max_size",
    "smime_strict",
    "smime_domain_key_named",
    "smime_skip_calendar",
    "smime_skip_sign_calendar",
    "smime_additional_certificates",
    "tag_decrypted",
    "tag_signed_valid",
    "tag_signed_by",
    "tag_signed_invalid",
    "tag_mixed_content",
    "add_security_info",
    "subject_filter",
    "encryption_notification",
    "encryption_failed_notification",
    "relay_networks",
    "next_hop_outgoing",
    "next_hop_incoming",
    "transport",
    "tls_out",
    "max_message_octets",
    "max_recipients",
    "queue_life",
    "delay_notice_after",
    "hold_life",
    "retention_days",
    "bare_newline",
    "max_hops",
    "postmaster",
    "method_order",
    "xforward_peers",
    "client_encrypted",
}


@pytest.mark.req("A7")
def test_the_first_settings_are_there() -> None:
    assert set(ALL) >= FIRST


def test_every_declaration_is_whole() -> None:
    for name, setting in ALL.items():
        assert name == name.lower()
        assert setting.doc.endswith(".")
        assert "\n" not in setting.doc
        assert setting.group
        assert set(setting.levels) <= set(LEVELS) - {"factory"}
        assert setting.check(setting.kind.store(setting.default)) == setting.default
        assert setting.parse(setting.kind.show(setting.default)) == setting.default


def test_a_name_is_declared_once() -> None:
    class Module:
        one = Setting("twice", Flag(), True, "A.", GATEWAY)
        two = Setting("twice", Flag(), True, "B.", GATEWAY)

    with pytest.raises(TypeError):
        registry([("X", Module)])
    with pytest.raises(TypeError):
        Setting("both_without_combiner", Flag(), True, "C.", side="both")
    with pytest.raises(TypeError):
        Setting("gateway_with_levels", Flag(), True, "D.")


@pytest.mark.req("A7")
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("encrypt_mode", "Mandatory", "mandatory"),
        ("smime_enabled", "no", False),
        ("smime_max_size", "10MiB", 10 << 20),
        ("smime_max_size", "512 k", 512 << 10),
        ("queue_life", "4h", timedelta(hours=4)),
        ("hold_life", "3600", timedelta(hours=1)),
        ("max_hops", "30", 30),
        ("method_order", "portal, smime", ("portal", "smime")),
        ("relay_networks", "192.0.2.0/24, ::1", (ip_network("192.0.2.0/24"), ip_network("::1/128"))),
        (
            "transport",
            "a.example=[mx.example]:26, *.b.example=",
            (("a.example", "[mx.example]:26"), ("*.b.example", "")),
        ),
        ("next_hop_outgoing", "Smart.Example:587", "smart.example:587"),
        ("next_hop_incoming", "[2001:db8::1]:25", "[2001:db8::1]:25"),
        ("postmaster", "pm@BÜCHER.example", "pm@xn--bcher-kva.example"),
        ("header_trigger", "A: x,y ;; B:z", ("A: x,y", "B: z")),
    ],
)
def test_typed_values(name: str, text: str, value: object) -> None:
    assert find(name).parse(text) == value


@pytest.mark.req("A7")
@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("encrypt_mode", "maybe", "encrypt_mode must be one of none, allow, mandatory, not 'maybe'."),
        ("smime_enabled", "perhaps", "smime_enabled must be yes or no, not 'perhaps'."),
        ("max_hops", "9", "max_hops must be a whole number from 10 to 1000, not 9."),
        ("queue_life", "7d", "queue_life must be a duration from 1m to 6d such as 4h or 5d, not '7d'."),
        ("smime_max_size", "big", "smime_max_size must be a size from 0 to 1024GiB, not 'big'."),
        (
            "relay_networks",
            "192.0.2.1/24",
            "each entry of relay_networks must be an IP address or network with no host bits set, not '192.0.2.1/24'.",
        ),
        (
            "next_hop_outgoing",
            "a b",
            "next_hop_outgoing must be a host as [host]:port or name:port, or nothing for the mail exchangers"
            " (not a host), not 'a b'.",
        ),
        (
            "subject_filter",
            "(a+)+",
            "subject_filter must be a regular expression (only a single character or character class may be repeated),"
            " not '(a+)+'.",
        ),
        (
            "tag_signed_by",
            "[signed]",
            "tag_signed_by must be a tag that holds {signer} (it must hold {signer}), not '[signed]'.",
        ),
    ],
)
def test_a_bad_value_gets_one_sentence(name: str, text: str, sentence: str) -> None:
    with pytest.raises(SettingInvalid) as raised:
        find(name).parse(text)
    assert raised.value.public == sentence


@pytest.mark.parametrize(
    "pattern", [r"(a|a)*", r"(\w+)\1", r"a(?=b)", "[", "a?" * 11, r"(?:a*)*b", r"((a{1,9}){1,9}){1,9}"]
)
def test_dangerous_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(SettingInvalid):
        find("subject_filter").parse(pattern)


@pytest.mark.parametrize("pattern", [r"\[(secret|private)\]", r"conf-\d{3,6}", r"^urgent.*", "(?:a|bc)d?"])
def test_useful_patterns_are_taken(pattern: str) -> None:
    assert find("subject_filter").parse(pattern) == pattern


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(SettingUnknown, match="did you mean encrypt_mode"):
        find("encryptmode")


@pytest.mark.req("A6")
@pytest.mark.parametrize(
    ("sender", "recipient", "value", "side"),
    [
        ("none", "allow", "none", "sender"),
        ("allow", "none", "none", "recipient"),
        ("none", "mandatory", "mandatory", "recipient"),
        ("mandatory", "none", "mandatory", "sender"),
        ("allow", "allow", "allow", "both"),
    ],
)
def test_encrypt_mode_is_combined(sender: str, recipient: str, value: str, side: str) -> None:
    mode = find("encrypt_mode")
    ends = [EffectiveSettings("", {"encrypt_mode": Effective(each, "user", each)}) for each in (sender, recipient)]
    found = combine(mode, *ends)
    assert (found.value, found.side) == (value, side)
    assert found.source.value == value


@pytest.mark.parametrize(
    ("name", "sender", "recipient", "value"),
    [
        ("smime_enabled", True, False, False),
        ("smime_skip_calendar", False, True, True),
        ("smime_max_size", 10, 5, 5),
        (
            "smime_additional_certificates",
            ("a@b.example",),
            ("c@d.example", "a@b.example"),
            ("a@b.example", "c@d.example"),
        ),
        ("smime_encryption_alg", "aes128-cbc", "aes256-gcm", "aes256-gcm"),
        ("tls_out", "none", "verify", "verify"),
        ("smime_sign", True, False, True),
    ],
)
def test_the_other_combiners(name: str, sender: Any, recipient: Any, value: Any) -> None:
    ends = [EffectiveSettings("", {name: Effective(each, "user", "x")}) for each in (sender, recipient)]
    assert combine(find(name), *ends).value == value


def test_recipient_first_needs_the_recipient_to_have_said_something() -> None:
    said = EffectiveSettings("", {"smime_encryption_alg": Effective("aes128-cbc", "domain", "x")})
    assert combine(find("smime_encryption_alg"), said, EffectiveSettings("", {})).value == "aes128-cbc"


def test_strictest_names_its_order() -> None:
    assert isinstance(strictest("a", "b"), Combiner)
    assert "a < b" in strictest("a", "b").doc


def test_limits_are_the_gateways() -> None:
    assert all(each.levels == GATEWAY for each in vars(limits).values() if isinstance(each, Setting))


def test_the_committed_page_is_the_generated_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"
    assert page.read_text(encoding="utf-8") == reference()
