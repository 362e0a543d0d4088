"""`python -m tests.benchmarks.screen`: prompts per second per core, beside MiniLM in float32 through transformers.

The rival embeds the same prompts one by one with the same tokenizer, as sentence-transformers does: fp32 on one thread,
mean pooling, unit length. It gives a vector; ours folds the text, decodes disguises and gives scores per
category besides. Decisions are compared with our own float32 reference at the proposed refuse threshold. Where the
public data folder is, all prompt classifiers of `default` are timed on COCO captions, one after another.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy
import torch

from gateway.parts import torchvision_ops

torchvision_ops.install()

from transformers import AutoModel, AutoTokenizer  # noqa: E402  needs the operators above

from gateway.settings import Settings  # noqa: E402
from gateway.wiring import screening_of  # noqa: E402
from moderation.minilm import MINILM  # noqa: E402
from moderation.prompt_semantic import SHIPPED, SemanticPart  # noqa: E402
from moderation.semantic.head import REFERENCE, load_head  # noqa: E402
from moderation.semantic.tokens import Tokens  # noqa: E402
from moderation.semantic.training import corpus, written  # noqa: E402
from moderation.semantic.training.reference import read_reference  # noqa: E402
from moderation.text.folding import fold  # noqa: E402
from policies.loading import load_policy  # noqa: E402
from tests.benchmarks.interleaved import interleave  # noqa: E402

GOAL_MS, EQUAL_GOAL = 5.0, 0.995
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CAPTIONS = 700


def prompts() -> list[str]:
    """Our own: twins in two styles and ornate harmless prompts; never offensive, always the same."""
    own = [text.words for texts in written.own_prompts().values() for text in texts][::25]
    return own + [text.words for texts in written.validation().values() for text in texts]


def chain_ms(data: Path) -> float:
    """Median over COCO captions of what folding and all prompt classifiers of `default` take, one after another."""
    classifiers = screening_of(Settings(), load_policy("default"), kinds=("prompt",)).prompt_classifiers
    captions = [text.words for text in corpus.captions(data) if text.held_out][: CAPTIONS + 100]
    spent = []
    for caption in captions:
        before = time.perf_counter()
        folded = fold(caption)
        for classifier in classifiers:
            classifier.classify(folded)
        spent.append(1000 * (time.perf_counter() - before))
    return statistics.median(spent[100:])  # the first ones warm the caches


def main() -> int:
    """Prints the figures; exit 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.screen", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    texts = prompts()
    part = SemanticPart(SemanticPart.Options(cached_prompts=0))
    tokenizer = AutoTokenizer.from_pretrained(MINILM.folder(), local_files_only=True)
    model = AutoModel.from_pretrained(MINILM.folder(), local_files_only=True).eval()

    def ours() -> None:
        for text in texts:
            part.classify(fold(text))

    @torch.inference_mode()
    def theirs() -> None:
        for text in texts:
            given = tokenizer(text, return_tensors="pt", truncation=True, max_length=128)
            hidden = model(**given).last_hidden_state
            torch.nn.functional.normalize(hidden.mean(dim=1), dim=1)

    timings = interleave({"fluxgate int8": ours, "MiniLM fp32": theirs}, rounds)
    for name, timing in timings.items():
        each = timing.least / len(texts)
        print(f"{name:14} {each:6.2f} ms of CPU per prompt, {1000 / each:7.1f} prompts per second per core")

    head, tokens = load_head(SHIPPED), Tokens()
    network = read_reference(SHIPPED / REFERENCE, head)
    threshold = json.loads((SHIPPED / "evaluation.json").read_text())["thresholds"]["refuse"]
    reference = head.harm(network.cosines([tokens.first_window(text) for text in texts]).numpy(), "image_prompt")
    served = numpy.array([max(finding.score for finding in part.classify(fold(text))) for text in texts])
    equal = float(((served >= threshold) == (reference >= threshold)).mean())
    mine = timings["fluxgate int8"].least / len(texts)
    print(f"equal decisions with the float32 reference: {equal:.2%} of {len(texts)} prompts")
    if DATA.is_dir():
        mine = chain_ms(DATA)
        print(f"all prompt classifiers of default: {mine:.2f} ms in the median of {CAPTIONS} COCO captions")
    return int(mine > GOAL_MS or equal < EQUAL_GOAL)


if __name__ == "__main__":
    sys.exit(main())
