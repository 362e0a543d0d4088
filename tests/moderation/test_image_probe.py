"""Linear probes, end to end: labelled folders, a small real open_clip model, the command, the part, a policy."""

import asyncio
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from gateway.cli import app
from gateway.parts import BootError, build_part
from gateway.settings import load_settings
from gateway.wiring import check_coverage, screening_of
from moderation import open_clip_models
from moderation.classifiers import ImageClassifier
from moderation.errors import ClassifierFailed, PartUnusable
from moderation.image_clip import Clip
from moderation.image_probe import Probe
from moderation.probes.training import _fit
from policies.evaluate import evaluate
from policies.findings import Stage
from policies.loading import load_policy
from policies.verdicts import Verdict
from tests.moderation.test_image_clip import TABLE, Small

CATEGORIES = ("gore", "weapons")
EACH = 60

POLICY = """
name = "probed"
version = "1"
description = "For tests: the one classifier of pictures is the probe."

[appeal]
how = "Ask."
contact = ""
days = 183

[[classifier]]
kind = "prompt"
part = "terms"
data = ["shipped:terms/en.toml", "shipped:terms/exposure.toml"]

[[classifier]]
kind = "image"
part = "probe"

[levels.sure]
probe = 0.5
other = 0.90

[[rule]]
id = "silence-is-not-consent"
verdict = "refuse"
categories = ["unanswered"]
threshold = 0.0

[[rule]]
id = "no-gore"
verdict = "refuse"
categories = ["gore"]
level = "sure"

[[rule]]
id = "look-at-weapons"
verdict = "hold"
categories = ["weapons"]
stages = ["input_image", "output_image"]
classifier = "probe"
threshold = 0.5

[[rule]]
id = "floor-again"
verdict = "refuse"
categories = ["csae", "ncii"]
level = "sure"

[[rule]]
id = "whatever-else"
verdict = "allow"
categories = [
    "sexual", "violence", "hate", "harassment", "self_harm", "extremism", "illicit", "weapons", "drugs",
    "disinformation", "impersonation", "personal_data", "intellectual_property", "legal_decisions", "evasion",
    "tampered_credential", "reserved_rights", "unread_language",
]
threshold = 0.0

[[gap]]
categories = ["csae", "ncii"]
stages = ["input_image", "output_image"]
reason = "A test's shapes show nobody."
"""


def drawn(kind: str, seed: int, side: int = 64) -> Image.Image:
    """Red blots for gore, a dark bar for weapons, green discs for what is harmless; never twice the same."""
    chance = np.random.default_rng([seed, sum(kind.encode())])
    picture = Image.fromarray(chance.integers(170, 230, (side, side, 3), np.uint8))
    draw = ImageDraw.Draw(picture)
    x, y, size = (int(each) for each in chance.integers((4, 4, 20), (20, 20, 32)))
    shapes: dict[str, Callable[[], None]] = {
        "gore": lambda: draw.ellipse((x, y, x + size, y + size), fill=(190, 10, 20)),
        "weapons": lambda: draw.rectangle((x, y, x + size + 10, y + 9), fill=(25, 25, 30)),
        "harmless": lambda: draw.ellipse((x, y, x + size, y + size), fill=(30, 160, 60)),
    }
    shapes[kind]()
    return picture


def fill(folder: Path, each: int = EACH) -> Path:
    for kind in (*CATEGORIES, "harmless"):
        (folder / kind / "deep").mkdir(parents=True)
        for seed in range(each):
            drawn(kind, seed).save(folder / kind / ("deep" if seed % 2 else "") / f"{seed}.png")
    return folder


def train(folder: Path, out: Path, small: Small, *more: str) -> Any:
    named = ["--model", str(small.config), "--weights", str(small.weights)]
    return CliRunner().invoke(app, ["train-probe", str(folder), "--out", str(out), *named, *more])


class Trained:
    """One run of the command over fresh folders."""

    def __init__(self, folder: Path) -> None:
        self.small = Small(folder)
        self.pictures = fill(folder / "pictures")
        self.out = folder / "probe.json"
        answer = train(self.pictures, self.out, self.small, "--json")
        assert answer.exit_code == 0, answer.output
        self.said = json.loads(answer.stdout)

    def options(self, **changed: Any) -> dict[str, Any]:
        return {"model": str(self.small.config), "weights": str(self.small.weights), "probe": self.out, **changed}

    def part(self, **changed: Any) -> Probe:
        return Probe(Probe.Options.model_validate(self.options(**changed)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("probe"))


def scores(part: Probe, picture: Image.Image) -> dict[str, float]:
    return {found.category: found.score for found in part.classify(np.asarray(picture), Stage.OUTPUT_IMAGE)}


def test_probes_tell_pictures_that_training_never_saw(trained: Trained) -> None:
    part = trained.part()
    assert isinstance(part, ImageClassifier)
    assert part.categories == set(CATEGORIES)
    for seed in range(1000, 1010):
        assert max(scores(part, drawn("harmless", seed)).values()) < 0.5
        for category in CATEGORIES:
            found = scores(part, drawn(category, seed))
            assert max(found, key=lambda each: found[each]) == category
            assert found[category] > 0.5


def held_out(path: Path) -> bool:
    """The rule of the module, said again."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return int(hashlib.sha256(f"held-out/0/{digest}".encode()).hexdigest()[:16], 16) % 5 == 0


def test_the_figures_are_those_of_the_held_out_fifth(trained: Trained) -> None:
    said = trained.said
    assert (said["pictures"], said["looked_at"], said["skipped"]) == (3 * EACH, 3 * EACH, {})
    assert set(said["categories"]) == {*CATEGORIES, "any"}
    part = trained.part()
    seen = {path: scores(part, Image.open(path)) for path in trained.pictures.rglob("*.png")}
    held = [path for path in seen if held_out(path)]
    assert 3 * EACH / 10 < len(held) < 3 * EACH / 3
    for category in CATEGORIES:
        one = said["categories"][category]
        low, high = one["auroc_interval"]
        assert 0.9 < low <= one["auroc"] <= high <= 1.0
        harmful, harmless = (
            [seen[path][category] for path in held if kind in path.parts] for kind in (category, "harmless")
        )
        assert (one["harmful"], one["harmless"]) == (len(harmful), len(harmless))
        labels = [1] * len(harmful) + [0] * len(harmless)
        assert one["auroc"] == pytest.approx(roc_auc_score(labels, harmful + harmless))
        first, fifth = one["thresholds"]
        assert first["threshold"] >= fifth["threshold"]
        assert first["refused_harmless"] <= 0.01
        assert fifth["refused_harmless"] <= 0.05


def test_what_fills_one_end_of_a_long_picture_is_seen_as_if_it_were_the_picture(trained: Trained) -> None:
    part, end = trained.part(), drawn("gore", 7)
    long = Image.new("RGB", (64 * 4, 64), (200, 200, 200))
    long.paste(end, (64 * 3, 0))
    assert scores(part, long)["gore"] >= scores(part, end)["gore"] - 1e-4


def test_fitting_finds_the_weights_that_scikit_learn_finds() -> None:
    chance = np.random.default_rng(0)
    inputs = chance.normal(size=(200, 5))
    labelled = inputs[:, 0] + chance.normal(size=200) > 0.5
    strength = 0.01
    weights, bias = _fit(inputs, np.where(labelled, 1.0, -1.0), np.full(200, 1 / 200), strength)
    theirs = LogisticRegression(C=1 / (strength * 200), tol=1e-10, max_iter=1000).fit(inputs, labelled)
    assert weights == pytest.approx(theirs.coef_[0], abs=1e-3)
    assert bias == pytest.approx(theirs.intercept_[0], abs=1e-3)


def test_report_and_plot_stand_beside_the_probe_and_name_no_picture(trained: Trained) -> None:
    report = trained.out.with_name("probe.json.report.md").read_text("utf-8")
    assert re.search(r"^\| gore \| \d+ \| [01]\.\d{3} \(", report, re.MULTILINE)
    assert "less than one" in report, "too few harmless pictures are said to be too few"
    assert trained.part().version.removeprefix("sha256:") in report
    assert str(trained.pictures) not in report
    assert str(trained.small.config.parent) not in trained.out.read_text("utf-8")
    assert trained.out.with_name("probe.json.roc.svg").read_text("utf-8").startswith("<svg")


def test_a_second_run_looks_at_nothing_anew_and_writes_the_same_file(trained: Trained, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    cache = str(trained.out.with_name("probe.json.cache"))
    answer = json.loads(train(trained.pictures, again, trained.small, "--json", "--cache", cache).stdout)
    assert (answer["looked_at"], answer["pictures"]) == (0, 3 * EACH)
    assert again.read_bytes() == trained.out.read_bytes()
    other = json.loads(train(trained.pictures, again, trained.small, "--json", "--cache", cache, "--dtype", "bf16").stdout)  # fmt: skip  # noqa: E501
    assert other["looked_at"] == 3 * EACH, "what another precision saw is not taken"


def test_a_run_that_was_stopped_goes_on_where_it_was(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole, calls = tmp_path / "probe.json", open_clip_models.OpenedModel.embed, 0

    def stopped(self: Any, pictures: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return whole(self, pictures)

    with monkeypatch.context() as patched:
        patched.setattr(open_clip_models.OpenedModel, "embed", stopped)
        assert train(trained.pictures, out, trained.small).exit_code != 0
    assert not out.exists()
    answer = json.loads(train(trained.pictures, out, trained.small, "--json").stdout)
    assert answer["looked_at"] == 3 * EACH - 3 * 16
    assert out.read_bytes() == trained.out.read_bytes()


def test_files_that_are_broken_huge_or_double_are_counted_and_never_trained_on(
    trained: Trained, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures")
    (folder / "gore" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    (folder / "gore" / "notes.txt").write_text("not looked at")
    with (folder / "gore" / "long.jpg").open("wb") as file:
        file.truncate(33 * 1024 * 1024)
    bomb = io.BytesIO()
    Image.new("1", (8000, 8000)).save(bomb, "PNG")
    (folder / "weapons" / "bomb.PNG").write_bytes(bomb.getvalue())
    (folder / "harmless" / "copy.png").write_bytes((folder / "harmless" / "0.png").read_bytes())
    (folder / "weapons" / "also.png").write_bytes((folder / "gore" / "0.png").read_bytes())
    answer = train(folder, tmp_path / "probe.json", trained.small, "--json")
    said = json.loads(answer.stdout)
    assert said["pictures"] == 3 * EACH
    assert said["skipped"] == {"no readable picture": 1, "more than 33554432 bytes": 1, "more than 40000000 pixels": 1}
    probes = json.loads((tmp_path / "probe.json").read_text())["categories"]
    assert (probes["gore"]["pictures"], probes["weapons"]["pictures"]) == (EACH, EACH + 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "kittens").mkdir(), "kittens is neither harmless nor a category"),
        (lambda folder: (folder / "csae").mkdir(), "no probe is trained for csae"),
        (lambda folder: (folder / "ncii").mkdir(), "no probe is trained for ncii"),
        (lambda folder: (folder / "evasion").mkdir(), "evasion is neither"),
        (lambda folder: (folder / "drugs").mkdir(), "drugs has 0 usable pictures, at least 30"),
        (lambda folder: (folder / "harmless").rename(folder / ".harmless"), "needs a folder harmless"),
        (
            lambda folder: (folder / "gore" / "0.png").write_bytes((folder / "harmless" / "0.png").read_bytes()),
            "1 pictures lie both",
        ),
        (
            lambda folder: [path.write_bytes(b"") for path in (folder / "gore").glob("*.png")],
            "gore has 15 usable pictures",
        ),
    ],
)
def test_folders_that_cannot_be_trained_on_are_refused_with_the_reason(
    change: Callable[[Path], object], said: str, trained: Trained, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "pictures", each=30)
    change(folder)
    answer = train(folder, tmp_path / "probe.json", trained.small)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert not (tmp_path / "probe.json").exists()


def test_other_weights_another_preprocessing_or_a_changed_file_stop_the_start(trained: Trained, tmp_path: Path) -> None:
    digest = trained.part().version.removeprefix("sha256:")
    assert trained.part(probe_sha256=digest).version == f"sha256:{digest}"
    with pytest.raises(PartUnusable, match="pinned"):
        trained.part(probe_sha256="0" * 64)

    state = torch.load(trained.small.weights, weights_only=True)
    state["logit_scale"] += 1
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(BootError, match=r"trained on the model small\.json with weights of the digest") as raised:
        build_part("image_classifiers", "probe", trained.options(weights=str(tmp_path / "other.pt")))
    assert "train it anew" in str(raised.value)

    config = tmp_path / "open_clip_config.json"
    grey = {"mean": [0.5] * 3, "std": [0.5] * 3}
    config.write_text(json.dumps({"model_cfg": json.loads(trained.small.config.read_text()), "preprocess_cfg": grey}))
    with pytest.raises(PartUnusable, match="another architecture or preprocessing"):
        trained.part(model=str(config))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.update(format="fluxgate-probe/2"),
        lambda file: file.update(width=31),
        lambda file: file.update(categories={}),
        lambda file: file["categories"].update(csae=file["categories"]["gore"]),
        lambda file: file["categories"].update(kittens=file["categories"]["gore"]),
        lambda file: file["categories"]["gore"]["weights"].append(1.0),
        lambda file: file["categories"]["gore"].update(bias=float("nan")),
        lambda file: file["categories"]["gore"].update(slope=-1.0),
    ],
)
def test_a_file_that_is_not_a_whole_probe_stops_the_start(
    change: Callable[[dict[str, Any]], object], trained: Trained, tmp_path: Path
) -> None:
    file = json.loads(trained.out.read_text())
    change(file)
    (tmp_path / "probe.json").write_text(json.dumps(file))
    with pytest.raises(PartUnusable) as raised:
        trained.part(probe=tmp_path / "probe.json")
    assert (raised.value.part, raised.value.field) == ("probe", "probe")


def test_a_missing_file_stops_the_start_and_tells_how_to_make_one(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(PartUnusable, match="fluxgate train-probe"):
        trained.part(probe=tmp_path / "gone.json")


def test_anything_but_rgb_bytes_is_refused_not_passed(trained: Trained) -> None:
    with pytest.raises(ClassifierFailed):
        trained.part().classify(np.zeros((8, 8, 4), np.uint8), Stage.INPUT_IMAGE)


def test_clip_and_probe_hold_the_weights_once(trained: Trained) -> None:
    zero_shot: Clip = trained.small.part(data=[TABLE])
    assert zero_shot._opened is trained.part()._eyes


def test_a_picture_is_refused_by_a_policy_that_asks_the_probe(trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY, "utf-8")
    policy = load_policy(file)
    parts = {"probe": {name: str(value) for name, value in trained.options().items()}}
    screening = screening_of(load_settings(tmp_path, {"policy": str(file), "parts": parts}, environ={}), policy)
    check_coverage(policy, screening)

    def verdict(kind: str) -> tuple[Verdict, set[str]]:
        found = asyncio.run(screening.image(np.asarray(drawn(kind, 2000)), Stage.OUTPUT_IMAGE))
        decision = evaluate(policy, found, stage=Stage.OUTPUT_IMAGE, assurance=1)
        return decision.verdict, {reason.category for reason in decision.reasons if reason.verdict > Verdict.ALLOW}

    assert verdict("gore") == (Verdict.REFUSE, {"gore"})
    assert verdict("weapons") == (Verdict.HOLD, {"weapons"})
    assert verdict("harmless") == (Verdict.ALLOW, set())
