"""Writes what training never saw as labelled files for `fluxgate moderation evaluate`. The texts stay on the machine.

    python -m moderation.semantic.training.unseen --data ../shared/data --out /tmp/unseen --most 100

The shipped report was made from these, 100 texts of each set at most.
"""

import argparse
import json
from pathlib import Path

from moderation.semantic.training.train import Sources, measuring_sets

LANGUAGES = {"multi30k_de": "de", "multi30k_fr": "fr", "own_german": "de", "own_french": "fr", "own_spanish": "es"}
LANGUAGES |= {f"blind_{code}": code for code in ("de", "fr", "es", "it", "pt", "nl")}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m moderation.semantic.training.unseen",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="the public data folder")
    parser.add_argument("--out", type=Path, required=True, help="where the .jsonl files go; they hold offensive texts")
    parser.add_argument("--most", type=int, default=100, help="texts of each set (default 100)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, texts in measuring_sets(arguments.data, Sources.read(arguments.data)).items():
        rows = [
            {
                "text": text.words,
                "label": text.harmful,
                "category": text.category if text.category != "chat" else "",
                "language": LANGUAGES.get(name, "en"),
            }
            for text in texts[: arguments.most]
        ]
        (arguments.out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
