"""Every notice renders with every declared variable, and no value breaks out of its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2.exceptions
import pytest

from letterlock.notify import render as render_module
from letterlock.notify.catalogue import CATALOGUE, Notice
from letterlock.notify.render import Value, languages, render

HOSTILE = "evil\r\nBcc: eve@example.net\r\n\r\nbody {{ 7 * 7 }} {% for x in y %} \x00\u2028\udcff =?utf-8?B?QQ==?="

ALL = [(notice, language) for notice in CATALOGUE.values() for language in languages()]


def values(notice: Notice, make: Callable[[str], str]) -> dict[str, Value]:
    """A value for each declared variable, by its name."""
    made: dict[str, Value] = {}
    for name, variable in notice.variables.items():
        if variable.kind == "text":
            made[name] = make(name)
        elif variable.kind == "texts":
            made[name] = [make(f"{name}-{number}") for number in range(3)]
        else:
            made[name] = [{column: make(f"{column}-{number}") for column in variable.columns} for number in range(3)]
    return made


@pytest.mark.req("A21")
@pytest.mark.parametrize(("notice", "language"), ALL, ids=lambda each: getattr(each, "name", each))
def test_every_notice_shows_every_variable(notice: Notice, language: str) -> None:
    subject, text = render(notice.name, values(notice, lambda name: f"<{name}>"), language)
    assert subject
    for name, variable in notice.variables.items():
        if variable.kind == "text":
            assert f"<{name}>" in text
            continue
        for column in variable.columns or (name,):
            if column == "about":  # shown as a sentence
                continue
            assert all(f"<{column}-{number}>" in text for number in range(3)), column


@pytest.mark.parametrize(("notice", "language"), ALL, ids=lambda each: getattr(each, "name", each))
def test_hostile_values_make_no_line_of_their_own(notice: Notice, language: str) -> None:
    subject, text = render(notice.name, values(notice, lambda _: HOSTILE), language)
    assert "\n" not in subject + "x"
    assert "\r" not in subject + text
    assert not any(line.lstrip().startswith("Bcc:") for line in text.split("\n"))
    assert "\x00" not in text
    assert "49" not in text  # a value is not a template
    assert "{{ 7 * 7 }}" in text


@pytest.mark.parametrize(("notice", "language"), ALL, ids=lambda each: getattr(each, "name", each))
def test_empty_values(notice: Notice, language: str) -> None:
    subject, text = render(notice.name, values(notice, lambda _: ""), language)
    assert subject
    assert text


@pytest.mark.parametrize(("notice", "language"), ALL, ids=lambda each: getattr(each, "name", each))
def test_huge_values_are_cut(notice: Notice, language: str) -> None:
    given = values(notice, lambda _: "x" * 100_000)
    for name, variable in notice.variables.items():
        if variable.kind == "texts":
            given[name] = ["y"] * 10_000
        elif variable.kind == "rows":
            given[name] = [dict.fromkeys(variable.columns, "y")] * 10_000
    subject, text = render(notice.name, given, language)
    assert len(subject) <= 250
    assert len(text) < 256 * 1024
    if any(each.kind != "text" for each in notice.variables.values()):
        assert "and 9800 more" in text


def test_wrong_variables_are_a_fault() -> None:
    good = values(CATALOGUE["released"], lambda name: name)
    for bad in (
        {**good, "extra": "x"},
        {name: value for name, value in good.items() if name != "reason"},
        {**good, "reason": ["a"]},
        {**good, "recipients": "a"},
        {**good, "recipients": [{"a": "b"}]},
    ):
        with pytest.raises(ValueError):
            render("released", bad)
    with pytest.raises(ValueError, match="no notice"):
        render("../../etc", good)
    rows = values(CATALOGUE["encryption_failed"], lambda name: name)
    with pytest.raises(ValueError, match="address"):
        render("encryption_failed", {**rows, "recipients": [{"address": "x"}]})


def test_another_language_falls_back_to_english() -> None:
    good = values(CATALOGUE["released"], lambda name: name)
    for language in ("tlh", "../..", ""):
        assert render("released", good, language) == render("released", good)


def test_templates_run_in_a_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = values(CATALOGUE["released"], lambda name: name)
    folder = tmp_path / "en" / "released"
    folder.mkdir(parents=True)
    (folder / "subject.txt").write_text("x")
    monkeypatch.setattr(render_module, "_FOLDER", tmp_path)
    for attack in (
        "{{ subject.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ recipients.rows.append('x') }}",
        "{{ undeclared }}",
        "{{ cycler.__init__.__globals__ }}",
    ):
        (folder / "body.txt").write_text(attack)
        render_module._environment.cache_clear()
        with pytest.raises((jinja2.exceptions.SecurityError, jinja2.exceptions.UndefinedError)):
            render("released", good)
    render_module._environment.cache_clear()


def test_no_template_is_left_over() -> None:
    for language in languages():
        folder = render_module._FOLDER / language
        assert {each.name for each in folder.iterdir()} <= set(CATALOGUE)
