"""The public texts the classifier is trained and measured on: which file, which label, which split. Prints no text."""

import csv
import gzip
import hashlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parents[1]
COPRO_CATEGORIES = {
    "Hate": "hate",
    "sexual": "sexual",
    "Violence": "violence",
    "Shocking": "gore",
    "Illegal Activity": "illicit",
    "Harrasment": "harassment",
    "self-harm": "self_harm",
}


@dataclass(frozen=True, slots=True)
class Text:
    """`category`: of the harmful half of its pair, or "" for a plain caption. `pair`: "" if it has no twin."""

    words: str
    harmful: bool
    category: str
    pair: str
    held_out: bool


def coprov2(data: Path) -> list[Text]:
    """CoProV2's pairs; a fifth of them, by hash of the pair, is held out."""
    return [
        Text(
            row["prompt"],
            row["label"] == "1",
            COPRO_CATEGORIES[row["category"]],
            f"copro/{row['pair']}",
            _hashed(row["pair"], 5),
        )
        for row in _rows(data / "coprov2" / "train_split.csv.gz")
    ]


def captions(data: Path) -> list[Text]:
    """Benign captions: COCO (half of it held out, by hash), T2I-CompBench (trained on), DrawBench (held out)."""
    coco = [row["prompt"] for row in _rows(data / "coco_captions_10k" / "coco_10k.csv.gz")]
    texts = [Text(words, False, "", "", _hashed(words, 2)) for words in dict.fromkeys(coco)]
    for file in sorted((data / "t2i_compbench").glob("*_train.txt")):
        texts += [Text(words, False, "", "", False) for words in _lines(file)]
    return texts + [Text(words, False, "", "", True) for words in _lines(data / "drawbench" / "DrawBench200.txt")]


def nibbler(data: Path) -> list[Text]:
    """Adversarial Nibbler, by the majority of five raters on the text. Used to choose, never to train."""
    with gzip.open(data / "adversarial_nibbler" / "submitted_train.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    return [Text(row["prompt"], row["n_text_unsafe"] > row["n_text_safe"], "", "", True) for row in rows]


def surge(data: Path) -> list[Text]:
    """Surge's toxicity labels of social media comments: a second opinion, far from image prompts."""
    rows = _rows(data / "surge_toxicity" / "toxicity_en.csv.gz")
    return [Text(row["text"], row["is_toxic"].startswith("Toxic"), "", "", True) for row in rows]


def instructions(data: Path) -> list[Text]:
    """AdvBench's harmful instructions, HarmBench's harmful behaviours (validation split): how a chat asks."""
    files = (
        data / "advbench" / "advbench_behaviors.csv.gz",
        data / "harmbench" / "harmbench_behaviors_text_val.csv.gz",
    )
    asked = [row["Behavior"] for file in files for row in _rows(file)]
    return [Text(words, True, "", "", _hashed(words, 5)) for words in dict.fromkeys(asked)]


def hate_speech(data: Path) -> list[Text]:
    """Davidson's tweets: hate against neither hate nor offence; the merely offensive ones are left out."""
    rows = _rows(data / "davidson_hate" / "labeled_data.csv.gz")
    return [
        Text(
            _plain_tweet(row["tweet"]),
            row["class"] == "0",
            "hate" if row["class"] == "0" else "",
            "",
            _hashed(row["tweet"], 5),
        )
        for row in rows
        if row["class"] != "1"
    ]


def _plain_tweet(words: str) -> str:
    return re.sub(r"https?://\S+|@\w+|&#?\w+;|\bRT\b", " ", words)


def measured_only(data: Path) -> dict[str, list[Text]]:
    """Benign sets whose licences allow measuring and nothing else: Multi30k in three languages, Krea's prompts."""
    sets = {f"multi30k_{code}": _lines(data / "multi30k" / f"val.{code}.gz") for code in ("en", "de", "fr")}
    sets["krea"] = [row["prompt"] for row in _rows(data / "krea_open_prompts" / "1k.csv.gz")]
    return {name: [Text(words, False, "", "", True) for words in lines] for name, lines in sets.items()}


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def _lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return [line.strip() for line in io.StringIO(text.decode()) if line.strip()]


def _hashed(words: str, parts: int) -> bool:
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big") % parts == 0
