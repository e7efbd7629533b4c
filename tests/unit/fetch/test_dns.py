"""Where an address's SMIMEA record stands."""

from __future__ import annotations

import pytest

from letterlock.fetch.dns import owner_name


@pytest.mark.req("C14")
def test_the_example_of_the_standard() -> None:
    """RFC 8162 3: hugh@example.com."""
    digest = "c93f1e400f26708f98cb19d936620da35eec8f72e57f9eec01c1afd6"
    assert owner_name("hugh@example.com") == f"{digest}._smimecert.example.com"


def test_any_local_part_is_a_label() -> None:
    for local in ("a", "ü", '"a b"', "x" * 64, "a.b"):
        label = owner_name(f"{local}@example.com").partition(".")[0]
        assert len(label) == 56 and label.isalnum()
