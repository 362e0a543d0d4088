"""Trains the semantic prompt classifier, averages its runs, writes the served files and measures them.

    python -m moderation.semantic.training.train --data ../shared/data --out moderation/semantic

1. Train every run of RUNS (kept in the cache; an interrupted run goes on where it was saved).
2. Average their weights: the most even single model.
3. Write model.onnx (int8, served) and reference.safetensors (the torch network's difference from MiniLM).
4. Calibrate each channel and set thresholds on the int8 model, from held-out texts; write model.json.
5. Measure on what was held out; write evaluation.json and the figures in MODEL_CARD.md.
Choose settings by the twins of validation.toml and by Adversarial Nibbler, neither of which is trained on; the
validation of CoProV2 ranks settings the wrong way round. Needs the package `onnx`.
"""

import argparse
import hashlib
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from rich.progress import track

from moderation.semantic.encoder import SentenceEncoder
from moderation.semantic.head import CARD, ONNX, REFERENCE, Channel, Head, Line
from moderation.semantic.tokens import Tokens
from moderation.semantic.training import card, corpus, fitting, measure, written
from moderation.semantic.training.corpus import Text
from moderation.semantic.training.export import write_onnx
from moderation.semantic.training.fitting import Diet, Setting
from moderation.semantic.training.measure import Measured
from moderation.semantic.training.network import Network, start
from moderation.semantic.training.reference import write_reference
from moderation.text.folding import fold

VERSION = "3"
RUNS = (
    Setting(seed=2, frozen=2, learning_rate=7e-5, pair_margin=3.0),
    Setting(seed=3, frozen=2, learning_rate=1e-4, pair_margin=3.0),
)
MEASURED_TEXTS = 400
MEASURED_HARMLESS = 1000
"""At most so many texts of one measuring set, drawn by a fixed seed; more of those that set thresholds."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The public texts, read once."""

    copro: list[Text]
    captions: list[Text]
    instructions: list[Text]
    hate: list[Text]

    @classmethod
    def read(cls, data: Path) -> "Sources":
        """From the public data folder."""
        return cls(corpus.coprov2(data), corpus.captions(data), corpus.instructions(data), corpus.hate_speech(data))

    def diet(self, seed: int, epoch: int) -> Diet:
        """One epoch of a run: every scene we wrote but the validation's, and what is not held out of the rest."""
        draw, turn = random.Random(f"{seed} {epoch}"), seed * 10 + epoch
        acts, ordinary = written.framed_acts(turn)
        chat, everyday = written.chat(turn)
        own = [text for texts in written.own_prompts(turn).values() for text in seen(texts)]
        foreign = [text for texts in written.foreign_twins().values() for text in texts]
        harmless = ordinary + everyday * 2 + draw.sample(own, 1000) + draw.sample(seen(self.captions), 2400)
        hateful = [text for text in seen(self.hate) if text.harmful]
        neither = [text for text in seen(self.hate) if not text.harmful]
        general = seen(self.instructions) + draw.sample(hateful, 400) + draw.sample(neither, 500)
        return Diet(
            written.image_twins(turn) + foreign + acts + chat, seen(self.copro), harmless, general, written.visible()
        )


def seen(texts: Sequence[Text]) -> list[Text]:
    """The texts to train on."""
    return [text for text in texts if not text.held_out]


def held_out(texts: Sequence[Text]) -> list[Text]:
    """The texts kept from training."""
    return [text for text in texts if text.held_out]


def trained(setting: Setting, sources: Sources, tokens: Tokens, cache: Path) -> Network:
    """One run, from the cache if it was finished before."""
    kept = cache / f"{setting.name}-all.pt"
    network = start(tokens, attention=setting.attention)
    if kept.is_file():
        network.load_state_dict(torch.load(kept))
        return network.eval()
    diets = [sources.diet(setting.seed, epoch) for epoch in range(setting.epochs)]
    fitting.train(network, tokens, diets, setting, kept.with_suffix(".ckpt"))
    torch.save(network.state_dict(), kept)
    kept.with_suffix(".ckpt").unlink(missing_ok=True)
    return network


def measuring_sets(data: Path, sources: Sources) -> dict[str, list[Text]]:
    """Everything figures are taken on, by name; no text of these was trained on."""
    own = written.own_prompts()
    hate = held_out(sources.hate)
    sets = {
        **{f"twins_{name}": texts for name, texts in written.validation().items()},
        **{f"blind_{name}": texts for name, texts in written.blind().items()},
        "nibbler": corpus.nibbler(data),
        "surge": corpus.surge(data),
        "coprov2": held_out(sources.copro),
        "hate_speech": hate,
        "instructions": held_out(sources.instructions),
        "captions": held_out(sources.captions),
        **{f"own_{name}": held_out(texts) for name, texts in own.items()},
        **corpus.measured_only(data),
    }
    return {
        name: _drawn(texts, MEASURED_HARMLESS if name in HARMLESS else MEASURED_TEXTS) for name, texts in sets.items()
    }


def _drawn(texts: Sequence[Text], most: int) -> list[Text]:
    return random.Random(7).sample(texts, most) if len(texts) > most else list(texts)


def measured(encoder: SentenceEncoder, network: Network, name: str, texts: Sequence[Text]) -> Measured:
    """Through the int8 model and the reference: the first window of each text, which for nearly all is the whole."""
    kept = [(text, encoder.tokens.first_window(text.words)) for text in texts if fold(text.words).folded]
    int8 = [encoder.window(ids) for _, ids in track(kept, description=f"measuring {name}")]
    reference = network.cosines([ids for _, ids in kept]).numpy()
    return Measured([text for text, _ in kept], numpy.stack(int8), reference)


def evaluation(head: Head, found: Mapping[str, Measured]) -> dict[str, Any]:
    """Everything that goes into evaluation.json."""
    images = measure.thresholds(head, "image_prompt", [found[name] for name in HARMLESS])
    chat = measure.thresholds(head, "chat_text", [found[name] for name in CHAT_HARMLESS])
    told: dict[str, Any] = {
        "thresholds": images,
        "chat_thresholds": chat,
        "ranking": {
            name: measure.ranking(head, each)
            for name, each in found.items()
            if 0 < each.harmful.sum() < len(each.texts)
        },
    }
    channels: tuple[tuple[str, Channel, dict[str, float]], ...] = (
        ("at_or_above", "image_prompt", images),
        ("chat_at_or_above", "chat_text", chat),
    )
    for title, channel, limits in channels:
        told[title] = {}
        for name, each in found.items():
            scores = measure.harm(head, each, channel)
            for kind, chosen in (("harmful", each.harmful), ("harmless", ~each.harmful)):
                if chosen.any():
                    told[title][f"{name}, {kind}"] = {"texts": int(chosen.sum())} | measure.reached(
                        scores[chosen], limits
                    )
    told["int8_beside_reference"] = measure.agreement(head, list(found.values()), "image_prompt", images)
    told["category_thresholds"] = measure.per_category(head, "image_prompt", [found[name] for name in HARMLESS])
    told["categories"] = measure.naming(head, [found["twins_descriptive"], found["coprov2"]])
    return told


HARMLESS = ("captions", "own_english", "own_everyday")
CHAT_HARMLESS = ("twins_chat", "surge", "hate_speech", "own_everyday")
CALIBRATED_ON: dict[Channel, tuple[str, ...]] = {
    "image_prompt": ("coprov2", "captions", "own_english", "own_everyday"),
    "chat_text": ("surge", "hate_speech", "instructions"),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m moderation.semantic.training.train",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="the public data folder (coprov2, coco_captions_10k, …)"
    )
    parser.add_argument("--out", type=Path, required=True, help="where the model, its card and its figures go")
    cache = Path.home() / ".cache" / "fluxgate" / "semantic"
    parser.add_argument("--cache", type=Path, default=cache, help="finished and interrupted runs; safe to delete")
    arguments = parser.parse_args()
    started = time.monotonic()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # two threads were many times slower

    tokens, sources = Tokens(), Sources.read(arguments.data)
    networks = [trained(setting, sources, tokens, arguments.cache) for setting in RUNS]
    network = fitting.averaged(networks, start(tokens, attention=RUNS[0].attention))
    write_onnx(network, arguments.out / ONNX)
    write_reference(network, arguments.out / REFERENCE)

    encoder = SentenceEncoder(arguments.out)
    found = {
        name: measured(encoder, network, name, texts) for name, texts in measuring_sets(arguments.data, sources).items()
    }
    plain: dict[Channel, Line] = {channel: Line() for channel in CALIBRATED_ON}
    head = Head(network.owners, float(network.bias.detach()), plain, VERSION)
    head = measure.calibrated(head, {name: [found[each] for each in sets] for name, sets in CALIBRATED_ON.items()})
    digests = {name: hashlib.sha256((arguments.out / name).read_bytes()).hexdigest() for name in (ONNX, REFERENCE)}
    shipped = {
        "version": head.version,
        "sha256": digests,
        "attention": network.attention,
        "owners": head.owners,
        "bias": head.bias,
    }
    shipped["channels"] = {name: asdict(line) for name, line in head.lines.items()}
    (arguments.out / CARD).write_text(json.dumps(shipped, indent=1) + "\n")

    told = evaluation(head, found) | {"runs": [asdict(setting) for setting in RUNS]}
    told["seconds"] = round(time.monotonic() - started)
    (arguments.out / "evaluation.json").write_text(json.dumps(told, indent=1) + "\n")
    card.update(arguments.out / "MODEL_CARD.md", told)
    print(f"wrote {', '.join((ONNX, REFERENCE, CARD))}, evaluation.json and the card's figures to {arguments.out}")


if __name__ == "__main__":
    main()
