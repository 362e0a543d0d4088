"""The texts the head is trained and measured on: which file, which label, which split. Never prints a text."""

import csv
import gzip
import hashlib
import io
import json
import random
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
WRAPPERS_PER_PAIR = 6
PROMPTS_PER_SUBJECT = 30
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


def scenes() -> list[Text]:
    """Our own scene pairs and framed topics; every third scene and topic of a category is held out."""
    data = tomllib.loads((HERE / "scenes.toml").read_text())
    draw = random.Random(20)
    wrappers = data["styles"]["wrappers"]
    texts: list[Text] = []
    for category, entry in data.items():
        for number, halves in enumerate(entry.get("pairs", ())):
            for wrapper in draw.sample(wrappers, WRAPPERS_PER_PAIR):
                texts += _twins(halves, wrapper, category, f"{category}/{number}/{wrapper}", number % 3 == 2)
    for category, topics in data["topics"].items():
        for number, topic in enumerate(topics):
            for halves in zip(data["frames"]["harmful"], data["frames"]["benign"], strict=True):
                framed = [half.format(topic=topic) for half in halves]
                name = f"{category}/{topic}/{halves[0]}"
                texts += _twins(framed, draw.choice(wrappers), category, name, number % 3 == 2)
    return texts


def _twins(halves: Sequence[str], wrapper: str, category: str, pair: str, held_out: bool) -> Iterator[Text]:
    for half, harmful in zip(halves, (True, False), strict=True):
        yield Text(wrapper.format(scene=half), harmful, category, pair, held_out)


def own_prompts() -> dict[str, list[Text]]:
    """Our own harmless prompts by language, combined from `benign.toml`; every third subject is held out."""
    data = tomllib.loads((HERE / "benign.toml").read_text())
    draw = random.Random(21)
    drawn: dict[str, list[Text]] = {}
    for language, lists in data.items():
        slots = {name: words for name, words in lists.items() if name not in ("patterns", "subject")}
        texts: dict[str, Text] = {}
        for number, subject in enumerate(lists["subject"]):
            for _ in range(PROMPTS_PER_SUBJECT):
                filling = {name: draw.choice(words) for name, words in slots.items()}
                filling["style2"] = draw.choice(slots.get("style", ("",)))
                words = draw.choice(lists["patterns"]).format(subject=subject, **filling)
                texts[words] = Text(words, False, "", "", number % 3 == 2)
        drawn[language] = list(texts.values())
    return drawn


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
