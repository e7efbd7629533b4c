"""Settings: whatever is stored or typed is either refused in a sentence or comes back the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.policy import triggers
from letterlock.policy.effective import EffectiveSettings
from letterlock.policy.settings import ALL
from letterlock.policy.settings.declare import Effective
from letterlock.policy.settings.kinds import SettingInvalid
from letterlock.policy.settings.texts import check_pattern, compiled
from tests.fakes.facts import Header

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NAMES = st.sampled_from(sorted(ALL))


@pytest.mark.req("A7")
@settings(max_examples=500, deadline=None)
@given(_NAMES, _JSON | st.text())
def test_any_stored_value(name: str, value: Any) -> None:
    setting = ALL[name]
    try:
        found = setting.check(value)
    except SettingInvalid as error:
        assert error.public.endswith(".")
        return
    stored = json.loads(json.dumps(setting.kind.store(found)))
    assert setting.check(stored) == found


@pytest.mark.req("A7")
@settings(max_examples=500, deadline=None)
@given(_NAMES, st.text() | st.text("0123456789dhm[],=@.:*MiB ", max_size=20))
def test_any_typed_value(name: str, text: str) -> None:
    setting = ALL[name]
    try:
        found = setting.parse(text)
    except SettingInvalid:
        return
    assert setting.parse(setting.kind.show(found)) == found


@pytest.mark.req("A8", "A9")
@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=3), st.text(min_size=1, max_size=8), st.booleans(), st.booleans())
def test_triggers_take_any_subject(subjects: list[str], keyword: str, is_regex: bool, remove: bool) -> None:
    if is_regex:
        try:
            check_pattern(keyword)
        except ValueError:
            return
    values = {
        "subject_trigger": keyword,
        "subject_trigger_is_regex": is_regex,
        "subject_trigger_remove": remove,
    }
    at = EffectiveSettings("a@b.example", {name: Effective(value) for name, value in values.items()})
    found = triggers.evaluate(Header(*(("Subject", each) for each in subjects)), at)
    assert len(found.subjects) in (0, len(subjects))
    assert remove or not found.subjects
    if found.subjects:
        again = triggers.evaluate(Header(*(("Subject", each) for each in found.subjects)), at)
        assert not again.asks("encrypt") or is_regex


@settings(max_examples=300, deadline=None)
@given(st.text("ab.*+?|(){}[]^$\\", max_size=12), st.text("ab", max_size=200))
def test_accepted_patterns_end_soon(pattern: str, text: str) -> None:
    try:
        check_pattern(pattern)
    except ValueError:
        return
    compiled(pattern).match(text)
