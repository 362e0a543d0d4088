"""The check of parts finds each broken promise, names it, and lets sound parts pass."""

from typing import Any

import pytest

from gateway.parts.conformance import GROUPS, NotConforming, check
from tests.conformance.broken_parts import BROKEN, Eyes, Words


def test_every_group_has_a_broken_part() -> None:
    assert {group for group, *_ in BROKEN} == set(GROUPS)


@pytest.mark.parametrize(("group", "part", "options", "words"), BROKEN, ids=[part.__name__ for _, part, *_ in BROKEN])
def test_the_broken_promise_is_named(group: str, part: type, options: dict[str, Any], words: str) -> None:
    with pytest.raises(NotConforming) as failure:
        check(group, part, options)

    assert any(words in fault for fault in failure.value.faults), failure.value
    assert words in str(failure.value)


@pytest.mark.parametrize(("group", "part"), [("prompt_classifiers", Words), ("image_classifiers", Eyes)])
def test_the_sound_part_that_they_were_made_from_passes(group: str, part: type) -> None:
    check(group, part)


def test_a_part_without_an_entry_point_is_told_to_have_one() -> None:
    with pytest.raises(NotConforming, match="there is no entry point `unheard_of`"):
        check("prompt_classifiers", "unheard_of")


def test_options_that_do_not_fit_are_named_and_not_quoted() -> None:
    with pytest.raises(NotConforming, match="colour") as failure:
        check("prompt_classifiers", Words, {"colour": "vermilion"})

    assert "vermilion" not in str(failure.value)


def test_an_unknown_group_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="choose one of prompt_classifiers"):
        check("fortune_tellers", Words)
