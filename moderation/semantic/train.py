"""Trains the head of the semantic prompt classifier on frozen MiniLM embeddings and measures it.

    python -m moderation.semantic.train --data ../shared/data --out moderation/semantic

1. Embed every text once (cached, about four minutes on one core; afterwards seconds).
2. Choose: train each candidate setting without the held-out scenes and topics, rank by AUC on Adversarial Nibbler.
   CoProV2's own validation ranks settings the wrong way round, and held-out topics are saturated, so neither chooses.
3. Train the chosen setting again on all scenes; calibrate on held-out texts; write head.safetensors and head.json.
4. Measure on what was held out and write evaluation.json.
"""

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy
from rich.progress import track
from safetensors.numpy import save_file

from moderation.prompt_folding import fold
from moderation.semantic import corpus, measure
from moderation.semantic.corpus import Text
from moderation.semantic.fitting import Embedded, Setting, calibrate, held_out, seen, train
from moderation.semantic.head import Head
from moderation.semantic.start import definition_head
from moderation.sentence_encoder import SentenceEncoder, packaged_model


def embed(encoder: SentenceEncoder, name: str, texts: Sequence[Text], cache: Path) -> Embedded:
    """The folded texts' vectors; kept in `cache` under a digest of the texts, so a changed text is embedded again."""
    folded = [fold(text.words).folded for text in texts]
    digest = hashlib.sha256("\0".join(folded).encode("utf-8", "replace")).hexdigest()[:16]
    kept = cache / f"{name}-{digest}.npy"
    if kept.is_file():
        return Embedded(tuple(texts), numpy.load(kept))
    vectors = []
    for start in track(range(0, len(folded), 256), description=f"embedding {name} ({len(folded)} texts)"):
        for windows in encoder.embed_windows(folded[start : start + 256]):
            vectors.append(windows[0] if len(windows) else numpy.zeros(384, numpy.float32))
    cache.mkdir(parents=True, exist_ok=True)
    stacked = numpy.stack(vectors)
    numpy.save(kept, stacked)
    return Embedded(tuple(texts), stacked)


def write(head: Head, out: Path) -> None:
    """Writes head.safetensors and the head.json that pins it."""
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "head.safetensors"
    save_file({"unsafe": numpy.ascontiguousarray(head.unsafe), "safe": numpy.ascontiguousarray(head.safe)}, weights)
    card = {
        "version": head.version,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "owners": head.owners,
        "bias": head.bias,
        "slope": head.slope,
        "offset": head.offset,
    }
    (out / "head.json").write_text(json.dumps(card, indent=1) + "\n")


SETTINGS = [
    Setting(rate, anchor, share)
    for rate, anchor, share in itertools.product((0.001, 0.003, 0.006), (0.0, 0.1), (0.15, 0.25))
]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m moderation.semantic.train", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="the public data folder (coprov2, coco_captions_10k, …)"
    )
    parser.add_argument("--out", type=Path, required=True, help="where head.safetensors, head.json, evaluation.json go")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "fluxgate" / "semantic",
        help="embeddings; safe to delete",
    )
    arguments = parser.parse_args()
    started = time.monotonic()
    encoder = SentenceEncoder(packaged_model())
    data, cache = arguments.data, arguments.cache
    scenes = embed(encoder, "scenes", corpus.scenes(), cache)
    copro = embed(encoder, "coprov2", corpus.coprov2(data), cache)
    captions = embed(encoder, "captions", corpus.captions(data), cache)
    own = {name: embed(encoder, f"own_{name}", texts, cache) for name, texts in corpus.own_prompts().items()}
    nibbler = embed(encoder, "nibbler", corpus.nibbler(data), cache)
    surge = embed(encoder, "surge", corpus.surge(data), cache)
    measured = {name: embed(encoder, name, texts, cache) for name, texts in corpus.measured_only(data).items()}

    start = definition_head(encoder)
    plain = numpy.concatenate([seen(harmless).vectors for harmless in (captions, *own.values())])
    table = {
        setting: train(start, seen(scenes), seen(copro), plain, setting)
        for setting in track(SETTINGS, description="choosing")
    }
    ranking = sorted(table, key=lambda setting: -measure.auc_of(table[setting], nibbler.texts, nibbler.vectors))
    best = ranking[0]

    head = train(start, scenes, seen(copro), plain, best)
    kept = held_out(copro)
    harmful = [text.harmful for text in kept.texts]
    benign = {"captions": held_out(captions)} | {f"own_{name}": held_out(prompts) for name, prompts in own.items()}
    harmless = [kept.where([not each for each in harmful]), *benign.values()]
    head = calibrate(head, kept.where(harmful).vectors, numpy.concatenate([embedded.vectors for embedded in harmless]))
    write(head, arguments.out)
    report = measure.report(
        head,
        start=start,
        rehearsal=table[best],
        pairs={"nibbler": nibbler.labelled, "coprov2": kept.labelled, "scenes": held_out(scenes).labelled},
        surge=surge.labelled,
        benign={name: embedded.vectors for name, embedded in benign.items()},
        measured={name: embedded.vectors for name, embedded in measured.items()},
    )
    report["setting"] = asdict(best)
    report["settings_tried"] = [
        asdict(setting) | {"nibbler_auc": measure.auc_of(table[setting], nibbler.texts, nibbler.vectors)}
        for setting in ranking
    ]
    report["seconds"] = round(time.monotonic() - started)
    (arguments.out / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {arguments.out}/head.safetensors, head.json and evaluation.json in {report['seconds']} s")


if __name__ == "__main__":
    main()
