"""Reads labelled texts from CSV and JSON Lines files, plain or gzipped. Data from outside is checked row by row."""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moderation.errors import ModerationError

HARMFUL = frozenset({"1", "true", "yes", "unsafe", "harmful", "toxic"})
HARMLESS = frozenset({"0", "false", "no", "safe", "benign", "harmless"})


class UnreadableLabels(ModerationError):
    """A file is not labelled texts. The message names the file, the row's number and the remedy, never the text."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """`category` and `language` are "" where the file does not say. `row`: from 1 on, in the file that is `source`."""

    text: str
    harmful: bool
    category: str = ""
    language: str = ""
    source: str = ""
    row: int = 0


def read_labelled(path: Path) -> list[Labelled]:
    """All rows of a `.csv` or `.jsonl` file (or `.gz` of one): columns text, label, and optionally category, language.

    `label`: 1/0, true/false, unsafe/safe, harmful/benign. Raises `UnreadableLabels`.
    """
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    source = path.name.removesuffix(".gz").removesuffix(kind)
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
        rows = list(_rows(text, kind))
    except (OSError, ValueError, csv.Error) as error:
        raise UnreadableLabels(
            f"{path.name} cannot be read ({type(error).__name__}). Give UTF-8 CSV or JSON Lines, by its file name."
        ) from error
    if not rows:
        raise UnreadableLabels(f"{path.name} holds no rows. Give at least one labelled text.")
    return [_labelled(row, path.name, number, source) for number, row in enumerate(rows, 1)]


def _rows(text: str, kind: str) -> Iterator[dict[str, Any]]:
    if kind == ".csv":
        yield from csv.DictReader(io.StringIO(text, newline=""))
    elif kind in (".jsonl", ".ndjson"):
        for line in text.splitlines():
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("a line is not an object")
                yield row
    else:
        raise ValueError("unknown file type")


def _labelled(row: dict[str, Any], file: str, number: int, source: str) -> Labelled:
    text, label = row.get("text"), str(row.get("label")).strip().lower()
    if not isinstance(text, str) or label not in HARMFUL | HARMLESS:
        raise UnreadableLabels(
            f"{file}, row {number}: needs a column `text` and a column `label` of 1/0, true/false, unsafe/safe or "
            "harmful/benign."
        )
    return Labelled(
        text, label in HARMFUL, str(row.get("category") or ""), str(row.get("language") or ""), source, number
    )
