"""Pairs by guideline are what their README says: authors apart, categories known, twins of like length, no double."""

import tomllib
from importlib.resources import files
from statistics import mean

import pytest

FOLDER = files("moderation.semantic").joinpath("guideline")
AUTHORS = sorted(file.name for file in FOLDER.iterdir() if file.name.endswith(".toml"))
CATEGORIES = frozenset(
    [
        "illicit",
        "unethical",
        "discrimination",
        "privacy",
        "copying",
        "selfharm",
        "violence",
        "weapons",
        "drugs",
        "extremism",
        "disinformation",
        "sexual",
        "ncii",
        "chat",
    ]
)
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "zh", "ar", "hi")


@pytest.mark.parametrize("name", AUTHORS)
def test_the_pairs_of_an_author_are_whole(name: str) -> None:
    author = tomllib.loads(FOLDER.joinpath(name).read_text("utf-8"))
    framed = {category: table["pairs"] for category, table in author["framed"].items()}
    plain = {key: table["pairs"] for key, table in author.items() if isinstance(table, dict) and "pairs" in table}
    assert plain.keys() | framed.keys() <= CATEGORIES
    assert author["author"] == name.removesuffix(".toml")
    assert author["language"] in LANGUAGES
    pairs = [tuple(pair) for group in (plain, framed) for found in group.values() for pair in found]
    assert len(pairs) >= 250
    halves = [half for pair in pairs for half in pair]
    assert all(len(pair) == 2 and all(half.strip() for half in pair) for pair in pairs)
    assert len(set(halves)) == len(halves)
    assert sum(map(len, framed.values())) >= len(pairs) / 5
    harmful, harmless = (mean(len(pair[side]) for pair in pairs) for side in (0, 1))
    assert 0.85 < harmful / harmless < 1.18, "length must not tell the halves apart"
