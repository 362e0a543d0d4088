"""The taxonomy speaks about every category, and only about those."""

from pathlib import Path

import pytest

from policies.errors import PolicyError
from policies.findings import Category
from policies.taxonomy import TAXONOMY_FILE, load_taxonomy


def test_every_category_has_words_grounds_and_a_reason() -> None:
    taxonomy = load_taxonomy()
    assert list(taxonomy) == [category.value for category in Category]
    for entry in taxonomy.values():
        assert entry.title
        assert len(entry.meant) > 40
        assert len(entry.not_meant) > 40
        assert all(entry.grounds)
        assert entry.reason.endswith(".")


def test_the_floor_is_grounded_in_the_prohibitions_of_the_ai_act() -> None:
    taxonomy = load_taxonomy()
    assert any("Art 5(1)(bb)" in ground for ground in taxonomy["csae"].grounds)
    assert any("Art 5(1)(ba)" in ground for ground in taxonomy["ncii"].grounds)


def test_every_use_the_flux_licence_puts_out_of_scope_is_a_ground_by_name() -> None:
    grounds = " ".join(ground for entry in load_taxonomy().values() for ground in entry.grounds)
    for use in (
        "violating law",
        "harming minors",
        "verifiably false information made to harm",
        "personal identifiable information",
        "harassment, abuse, threats, stalking, bullying",
        "non-consensual nudity",
        "illegal pornographic content",
        "fully automated decisions that affect legal rights",
        "large-scale disinformation campaigns",
    ):
        assert use in grounds


@pytest.mark.parametrize(
    ("old", "new", "remedy"),
    [
        ("[csae]", "[csea]", "Name it in policies/findings.py first"),
        ('title = "Hate"\n', "", "Give exactly"),
        ('title = "Hate"', 'title = " "', "Give words"),
        ('decision_ground = "illegal"', 'decision_ground = "maybe"', "Give 'illegal' or 'incompatible'"),
    ],
)
def test_a_taxonomy_that_is_not_whole_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, remedy: str
) -> None:
    broken = tmp_path / "taxonomy.toml"
    broken.write_text(TAXONOMY_FILE.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr("policies.taxonomy.TAXONOMY_FILE", broken)
    with pytest.raises(PolicyError, match=remedy):
        load_taxonomy()
