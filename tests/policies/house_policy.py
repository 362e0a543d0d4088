"""A whole policy in a folder of its own, as an operator would write it, for tests to change one thing in."""

from pathlib import Path

from policies.findings import Category

ALL_CATEGORIES = ", ".join(f'"{category}"' for category in Category)

POLICY = f"""
name = "house"
version = "7"
description = "For tests."

[appeal]
how = "Write to us."
days = 183

[[classifier]]
kind = "prompt"
part = "terms"
data = ["words.toml"]

[[classifier]]
kind = "image"
part = "pdq_list"

[levels.sure]
terms = 1.0
other = 0.9

[[rule]]
id = "silence"
verdict = "refuse"
categories = ["unanswered"]
threshold = 0.0

[[rule]]
id = "everything"
verdict = "refuse"
categories = [{ALL_CATEGORIES}]
level = "sure"
"""

RIGHTS = """
[[classifier]]
kind = "prompt"
part = "rights_holders"
data = ["rights.toml"]

[[classifier]]
kind = "image"
part = "rights_holders"
data = ["rights.toml"]
"""
"""Classifiers of words and pictures by a register `rights.toml` beside the policy."""

WORDS = """
language = "en"
version = "1"

[[term]]
category = "weapons"
strength = "hard"
words = ["blunderbuss"]
"""


def write_policy(folder: Path, text: str = POLICY, words: str = WORDS) -> Path:
    """Path of the policy file in `folder`, which is made; its one data file lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.toml").write_text(words, encoding="utf-8")
    path = folder / "house.toml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(old: str, new: str) -> str:
    """`POLICY` with the one place `old` replaced."""
    assert POLICY.count(old) == 1, f"{old!r} stands {POLICY.count(old)} times in the policy"
    return POLICY.replace(old, new)
