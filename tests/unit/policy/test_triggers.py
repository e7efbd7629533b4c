"""Triggers: at the ends of the subject only, whatever case and white space; removed or not; header fields."""

from __future__ import annotations

from typing import Any

import pytest

from letterlock.policy import triggers
from letterlock.policy.triggers import Evaluation
from tests.fakes.facts import Header, settings


def evaluate(*subjects: str, fields: tuple[tuple[str, str], ...] = (), **values: Any) -> Evaluation:
    header = Header(*(("Subject", each) for each in subjects), *fields)
    return triggers.evaluate(header, settings("ann@inside.example", **values))


@pytest.mark.req("A8")
@pytest.mark.parametrize(
    ("subject", "rest"),
    [
        ("[encrypt] Report", "Report"),
        ("Report [encrypt]", "Report"),
        ("  [ENCRYPT]Report", "Report"),
        ("[ en crypt ]\tReport", "Report"),
        ("Report [encrypt]  ", "Report"),
        ("[encrypt] Report [encrypt]", "Report"),
        ("[encrypt][encrypt] Report", "Report"),
        ("[encrypt]", ""),
        ("[\u200bencr\u00adypt]\u00a0Report", "Report"),  # zero width space, soft hyphen, no-break space
        ("\x01[encrypt] Report", "Report"),
        ("[enc\ufe0frypt] Report", "Report"),
        ("\uff3bencrypt\uff3d Report", "Report"),
        ("Report \uff3b\uff25\uff2e\x00\uff23\uff32\uff39\uff30\uff34\uff3d\x7f", "Report"),
        ("[en\r\ncrypt]\ufe0f Report", "Report"),
        ("½ u\u0308ber ﬁn\u0301\uff3bencrypt\uff3d", "½ u\u0308ber ﬁn\u0301"),  # the rest stays as it was
        ("[encrypt] Über  die   Brücke", "Über  die   Brücke"),
    ],
)
def test_keyword_found_and_removed(subject: str, rest: str) -> None:
    found = evaluate(subject)
    assert found.asks("encrypt")
    assert found.subjects == (rest,)


@pytest.mark.req("A8")
@pytest.mark.parametrize(
    "subject",
    ["Report", "Re: [encrypt] Report", "About [encrypt] tags", "[encrypt Report", "encrypt", "", "[encrypted] x"],
)
def test_keyword_not_at_an_end_does_not_count(subject: str) -> None:
    assert evaluate(subject) == triggers.NOTHING


@pytest.mark.req("A8")
def test_keyword_stays_when_it_shall() -> None:
    found = evaluate("[encrypt] Report", subject_trigger_remove=False)
    assert (found.asks("encrypt"), found.subjects) == (True, ())


@pytest.mark.req("A8")
def test_switched_off() -> None:
    assert evaluate("[encrypt] Report", subject_trigger_enabled=False) == triggers.NOTHING


@pytest.mark.req("A8")
def test_a_word_is_not_found_within_a_longer_one() -> None:
    assert not evaluate("secretary wanted", subject_trigger="secret").matches
    assert not evaluate("not topsecret", subject_trigger="secret").matches
    assert evaluate("Secret: plan", subject_trigger="secret").subjects == (": plan",)


@pytest.mark.req("A8")
def test_several_keywords_in_any_order() -> None:
    found = evaluate(
        "[sign] Report [unencrypted] [encrypt]", sign_subject_trigger_enabled=True, no_encrypt_trigger_enabled=True
    )
    assert {match.asks for match in found.matches} == {"encrypt", "sign", "no-encrypt"}
    assert found.subjects == ("Report",)
    kept = evaluate("[sign][encrypt] Report", sign_subject_trigger_enabled=True, sign_subject_trigger_remove=False)
    assert kept.asks("encrypt")
    assert kept.subjects == ("[sign] Report",)


@pytest.mark.req("A8")
@pytest.mark.parametrize(
    ("subject", "rest"),
    [("conf-123 Report", "Report"), ("Report CONF-7", "Report"), ("x conf-1 y", None), ("conf- x", None)],
)
def test_regular_expression(subject: str, rest: str | None) -> None:
    found = evaluate(subject, subject_trigger=r"conf-\d+", subject_trigger_is_regex=True)
    assert found.subjects == (() if rest is None else (rest,))


@pytest.mark.req("A8")
def test_regular_expression_sees_what_a_reader_sees() -> None:
    assert evaluate(
        "\x01co\u200bnf-\uff17\uff17 ½", subject_trigger=r"conf-\d+", subject_trigger_is_regex=True
    ).subjects == ("½",)


def test_what_is_no_pattern_is_a_literal() -> None:
    assert evaluate("(a+)+$ x", subject_trigger="(a+)+$", subject_trigger_is_regex=True).subjects == ("x",)


@pytest.mark.req("A8")
def test_every_subject_field_is_looked_at() -> None:
    assert evaluate("Report", "[encrypt] Two").subjects == ("Report", "Two")


@pytest.mark.req("A9")
@pytest.mark.parametrize(
    ("name", "value", "asks"),
    [
        ("Sensitivity", "Company-Confidential", True),
        ("SENSITIVITY", "  company-confidential ", True),
        ("Sensitivity", "Company-Confidential (x)", True),
        ("Sensitivity", "(a (b)) company-confidential (c", True),
        ("Sensitivity", "company-\x01confidential\u200b", True),
        ("Sensitivity", " " * 1000 + "company-confidential", True),
        ("Sensitivity", "(company-confidential) personal", False),
        ("X-Letterlock-Encrypt", "yes", True),
        ("X-Letterlock-Encrypt", "yes, no", False),
        ("X-Letterlock-Encrypt", "no", False),
        ("X-Sensitivity", "company-confidential", False),
    ],
)
def test_header_field(name: str, value: str, asks: bool) -> None:
    found = evaluate(fields=((name, value),))
    assert found.asks("encrypt") is asks
    assert found.remove_fields == ((name.lower(),) if asks else ())


@pytest.mark.req("A9")
def test_header_field_stays_when_it_shall_and_signs_when_asked() -> None:
    fields = (("X-Letterlock-Sign", "yes"), ("Sensitivity", "company-confidential"))
    found = evaluate(fields=fields, header_trigger_remove=False, sign_header_trigger_enabled=True)
    assert (found.asks("encrypt"), found.asks("sign"), found.remove_fields) == (True, True, ("x-letterlock-sign",))
    assert not evaluate(fields=fields, header_trigger_enabled=False).matches


def test_matches_hold_no_text_of_the_message() -> None:
    found = evaluate("canary [encrypt]", fields=(("Sensitivity", "company-confidential"),))
    assert "canary" not in repr(found.matches)


@pytest.mark.parametrize("subject", ["[" * 100_000, " " * 100_000 + "[encrypt]", "[encrypt]" * 2_000])
def test_hostile_subjects_take_no_time(subject: str) -> None:
    evaluate(subject)
    evaluate(subject, subject_trigger=r"[a-z]*[ \[]*x", subject_trigger_is_regex=True)
