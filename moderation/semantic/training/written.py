"""The texts written for this project: twins, framed acts, chat, harmless prompts. Which split, by which seed.

Every draw varies wrappers and frames of the same scenes; what a scene says never varies. `held_out` marks whole topics.
"""

import random
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from moderation.semantic.training.corpus import HERE, Text

WRAPPERS_PER_PAIR = 2
FRAMES_PER_ACT = 3
QUESTIONS_PER_ACT = 2
PROMPTS_PER_SUBJECT = 30
BARE = ("{scene}", "{scene}.")
ASKED = ("{scene}", "{scene}", "hi, {scene}", "{scene} thanks", "quick question: {scene}", "{scene} please be brief")
MOODS = ("", "", "", ", calm and bright", ", dark and tense", ", cheerful", ", solemn", ", nostalgic", ", humorous")


STYLED = ("twins_people", "twins_world")
"""Files of twins that carry their own style, each in one line: more distinct scenes pay, more lines of one do not."""

FOREIGN = ("twins_de_fr", "twins_es_it_pt_nl")


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / f"{name}.toml").read_text())


def image_twins(seed: int) -> list[Text]:
    """Twins and scenes as image prompts; every fourth topic of `twins.toml` and every sixth other pair is held out."""
    draw = random.Random(f"twins {seed}")
    older = _read("scenes")
    wrappers = older["styles"]["wrappers"]
    texts: list[Text] = []
    for category, entry in older.items():
        for number, halves in enumerate(entry.get("pairs", ())):
            texts += _wrapped(halves, wrappers, category, f"{category}/{number}", number % 6 == 5, draw)
    topics = [(category, name, topic) for category, found in _read("twins").items() for name, topic in found.items()]
    for place, (category, name, topic) in enumerate(topics):
        for number, halves in enumerate(topic["pairs"]):
            texts += _wrapped(halves, wrappers, category, f"{category}.{name}/{number}", place % 4 == 3, draw)
    for file in STYLED:
        for category, found in _read(file).items():
            for name, topic in found.items():
                for number, halves in enumerate(topic["pairs"]):
                    texts += _pair(halves, category, f"{file}/{category}.{name}/{number}", number % 6 == 5)
    return texts


def foreign_twins() -> dict[str, list[Text]]:
    """Twins by language, as ISO 639-1 codes; every sixth pair is held out."""
    found: dict[str, list[Text]] = {}
    for file in FOREIGN:
        for language, categories in _read(file).items():
            for category, entry in categories.items():
                for number, halves in enumerate(entry["pairs"]):
                    name = f"{language}/{category}/{number}"
                    found.setdefault(language, []).extend(_pair(halves, category, name, number % 6 == 5))
    return found


def visible() -> list[Text]:
    """Singles as users of text-to-image sites write them: risky visible content, and ordinary prompts in its style."""
    return [
        Text(words, category != "benign", "" if category == "benign" else category, "", False)
        for category, entry in _read("pictures_risky").items()
        for words in entry["texts"]
    ]


def _wrapped(
    halves: Sequence[str], wrappers: Sequence[str], category: str, name: str, held_out: bool, draw: random.Random
) -> Iterator[Text]:
    chosen = [BARE[0], *draw.sample(wrappers, WRAPPERS_PER_PAIR - 1)]
    for number, wrapper in enumerate(chosen):
        mood = draw.choice(MOODS)
        for half, harmful in zip(halves, (True, False), strict=True):
            words = wrapper.format(scene=half + mood)
            yield Text(words, harmful, category, f"{name}/{number}", held_out)


def framed_acts(seed: int) -> tuple[list[Text], list[Text]]:
    """(pairs, harmless singles): acts in frames of opposite intent; ordinary acts in the same frames."""
    draw = random.Random(f"acts {seed}")
    data, older = _read("intents"), _read("scenes")
    wrappers = older["styles"]["wrappers"]
    frames, questions, good = data["frames"], data["questions"], data["good"]
    texts: list[Text] = []
    for category, acts in data["acts"].items():
        for number, act in enumerate(acts):
            held_out = number % 6 == 5
            for turn, halves in enumerate(_drawn(frames, FRAMES_PER_ACT, draw)):
                wrapper = draw.choice(wrappers)
                scenes = [wrapper.format(scene=half.format(act=act)) for half in halves]
                texts += _pair(scenes, category, f"{category}/{act}/{turn}", held_out)
            for turn, halves in enumerate(_drawn(questions, QUESTIONS_PER_ACT, draw)):
                asked = [draw.choice(ASKED).format(scene=half.format(act=act)) for half in halves]
                texts += _pair(asked, category, f"{category}/{act}?/{turn}", held_out)
    for category, topics in older["topics"].items():
        for topic in topics:
            for turn, halves in enumerate(_drawn(older["frames"], 4, draw)):
                scenes = [draw.choice(wrappers).format(scene=half.format(topic=topic)) for half in halves]
                texts += _pair(scenes, category, f"{category}/{topic}/{turn}", False)
    for act in good["acts"]:
        for turn, halves in enumerate(_drawn(good, 4, draw)):
            scenes = [draw.choice(wrappers).format(scene=half.format(act=act)) for half in halves]
            texts += _pair(scenes, "hate", f"good/{act}/{turn}", False)
    harmless = [
        Text(draw.choice(wrappers).format(scene=frame.format(act=act)), False, "", "", False)
        for act in data["ordinary"]["acts"]
        for frame in draw.sample(frames["harmful"], 5) + draw.sample(frames["benign"], 1)
    ]
    harmless += [
        Text(draw.choice(ASKED).format(scene=frame.format(act=act)), False, "", "", False)
        for act in data["ordinary"]["acts"]
        for frame in draw.sample(questions["harmful"], 3)
    ]
    return texts, harmless


def _drawn(frames: dict[str, list[str]], count: int, draw: random.Random) -> list[tuple[str, str]]:
    size = min(count, len(frames["harmful"]), len(frames["benign"]))
    return list(zip(draw.sample(frames["harmful"], size), draw.sample(frames["benign"], size), strict=True))


def _pair(halves: Sequence[str], category: str, name: str, held_out: bool) -> Iterator[Text]:
    for half, harmful in zip(halves, (True, False), strict=True):
        yield Text(half, harmful, category, name, held_out)


def chat(seed: int) -> tuple[list[Text], list[Text]]:
    """(pairs, harmless singles) of a chat; every sixth pair of a category is held out."""
    draw = random.Random(f"chat {seed}")
    pairs: list[Text] = []
    singles: list[str] = []
    for file, lines in (("chat", 2), ("chat_twins", 1)):
        for category, entry in _read(file).items():
            for number, halves in enumerate(entry.get("pairs", ())):
                for turn in range(lines):
                    asked = [(ASKED[0] if turn == 0 else draw.choice(ASKED)).format(scene=half) for half in halves]
                    pairs += _pair(asked, category, f"{file}/{category}/{number}/{turn}", number % 6 == 5)
            singles += [*entry.get("texts", ()), *entry.get("everyday", ())]
    return pairs, [Text(draw.choice(ASKED).format(scene=words), False, "", "", False) for words in singles]


def validation() -> dict[str, list[Text]]:
    """Twins in another style, never trained on: `descriptive` image prompts and `chat`."""
    found: dict[str, list[Text]] = {"descriptive": [], "chat": []}
    for category, entry in _read("validation").items():
        for number, halves in enumerate(entry["pairs"]):
            kept = found["chat" if category == "chat" else "descriptive"]
            kept += _pair(halves, category, f"validation/{category}/{number}", True)
    return found


def blind() -> dict[str, list[Text]]:
    """Texts of somebody who had read nothing else here: `pairs`, `chat`, `visible`, and pairs by language code.

    Measured on; neither trained on nor chosen by.
    """
    data = _read("blind")
    found: dict[str, list[Text]] = {"pairs": []}
    for category, entry in data.pop("pictures").items():
        for number, halves in enumerate(entry["pairs"]):
            found["pairs"] += _pair(halves, category, f"blind/{category}/{number}", True)
    for name, harmful, harmless in (("chat", "dangerous", "sounds_dangerous"), ("visible", "risky", "ordinary")):
        entry = data.pop(name)
        found[name] = [Text(words, True, "", "", True) for words in entry[harmful]]
        found[name] += [Text(words, False, "", "", True) for words in entry[harmless]]
    for language, entry in data.items():
        pairs = [_pair(halves, "", f"blind/{language}/{number}", True) for number, halves in enumerate(entry["pairs"])]
        found[language] = [text for halves in pairs for text in halves]
    return found


def own_prompts(seed: int = 21) -> dict[str, list[Text]]:
    """Our own harmless prompts by language, combined from `benign.toml`; every third subject is held out."""
    data = _read("benign")
    draw = random.Random(seed)
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
