"""The evaluation counts right, says how sure it is, quotes no text, and refuses files it cannot read."""

import gzip
import json
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

from moderation.evaluation import figures
from moderation.evaluation.disguises import DISGUISES
from moderation.evaluation.figures import Share
from moderation.evaluation.labelled import Labelled, UnreadableLabels, read_labelled
from moderation.evaluation.measuring import measure
from moderation.evaluation.report import write_report
from moderation.evaluation.scorers import ClassifierSubject, VerdictSubject
from moderation.prompt_folding import FoldedText, fold
from policies.findings import Finding, Stage, unanswered

SECRET = "zebra-and-violin"


class WordPart:
    """Finds one word, in whatever reading of the text."""

    name, version = "word", "1"
    categories = frozenset({"violence", "hate"})

    def __init__(self, word: str = "knife") -> None:
        self.word = word

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        found = float(any(self.word in reading for reading in text.readings))
        return (
            Finding("violence", found, Stage.PROMPT, self.name, self.version),
            Finding("hate", 0.1, Stage.PROMPT, self.name, self.version),
        )


class SilentPart(WordPart):
    """Never answers."""

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return (unanswered(Stage.PROMPT, self.name, self.version, "timeout"),)


TEXTS = [
    Labelled(f"a knife attack {SECRET}", True, "violence", "en", "one"),
    Labelled("an ugly joke", True, "hate", "en", "one"),
    Labelled("a knife and fork", False, "violence", "en", "one"),
    Labelled("a calm lake", False, "", "en", "one"),
    Labelled("ein Messer (knife) im Rücken", True, "violence", "de", "two"),
    Labelled("ein See", False, "", "de", "two"),
]

scores = st.lists(st.integers(0, 5).map(lambda n: n / 5), min_size=1, max_size=30)


@given(scores, scores)
def test_the_areas_are_scikit_learns(harmful: list[float], harmless: list[float]) -> None:
    labels = [1] * len(harmful) + [0] * len(harmless)
    positives, negatives = numpy.array(harmful), numpy.array(harmless)
    assert figures.auroc(positives, negatives) == pytest.approx(roc_auc_score(labels, harmful + harmless))
    assert figures.auprc(positives, negatives) == pytest.approx(average_precision_score(labels, harmful + harmless))


@given(scores, st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
def test_a_proposed_threshold_refuses_no_more_than_was_wanted(harmless: list[float], wanted: float) -> None:
    negatives = numpy.array(harmless)
    assert (negatives >= figures.threshold_for(negatives, wanted)).mean() <= wanted


def test_wilson_intervals_are_the_published_ones() -> None:
    low, high = Share(1, 10).interval
    assert (round(low, 4), round(high, 4)) == (0.0179, 0.4042)
    assert Share(0, 0).interval == (0.0, 1.0)


def test_a_measurement_counts_per_source_language_and_category() -> None:
    found = measure([ClassifierSubject("word", [WordPart()], 0.5)], TEXTS, disguised=5)["subjects"]["word"]
    assert found["all"]["recall"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["all"]["refused_harmless"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["languages"]["de"]["recall"]["value"] == 1.0
    assert found["categories"]["violence"]["refused_harmless"] == found["categories"]["violence"]["refused_harmless"]
    assert found["categories"]["violence"]["named_first"]["value"] == 1.0
    assert found["categories"]["hate"]["recall"]["value"] == 0.0
    assert found["evasion"]["zero_width"]["recall_lost"]["value"] == 0.0
    assert found["evasion"]["base64"]["recall_lost"]["value"] == 1.0
    assert {each["wanted"] for each in found["proposed"]} == {0.001, 0.005, 0.01, 0.05}


def test_two_subjects_are_compared_decision_by_decision() -> None:
    subjects = [ClassifierSubject("knife", [WordPart()], 0.5), ClassifierSubject("joke", [WordPart("joke")], 0.5)]
    both = measure(subjects, TEXTS, disguised=0)["comparison"]
    assert (both["harmful_only_first"], both["harmful_only_second"], both["harmless_only_first"]) == (2, 1, 1)
    assert both["equal_decisions"]["value"] == pytest.approx(2 / 6, abs=1e-4)


def test_silence_counts_as_refusal() -> None:
    found = measure([ClassifierSubject("silent", [SilentPart()], 0.5)], TEXTS, disguised=0)["subjects"]["silent"]
    assert found["all"]["refused_harmless"]["value"] == 1.0


def test_the_report_names_the_policy_and_quotes_no_text(tmp_path: Path) -> None:
    judged = VerdictSubject("policy <own>", lambda text: float("knife" in text), 0.5, "sha256:abc")
    found = measure([judged, ClassifierSubject("word", [WordPart()], 0.5)], TEXTS)
    paths = write_report(found, tmp_path / "report", made={"files": "mine.csv"})
    written = {path.name: path.read_text() for path in paths}
    assert set(written) == {"report.md", "report.html", "figures.json", "roc.svg", "scores-1.svg", "scores-2.svg"}
    assert all(SECRET not in content for content in written.values())
    assert "sha256:abc" in written["report.md"]
    assert "sha256:abc" in written["report.html"]
    assert "<own>" not in written["report.html"]
    assert json.loads(written["figures.json"])["made"] == {"files": "mine.csv"}


def test_a_set_of_only_harmless_texts_has_no_areas_but_a_report(tmp_path: Path) -> None:
    calm = [text for text in TEXTS if not text.harmful]
    found = measure([ClassifierSubject("word", [WordPart()], 0.5)], calm)
    assert "auroc" not in found["subjects"]["word"]["all"]
    assert write_report(found, tmp_path, made={})
    with pytest.raises(ValueError, match="nothing"):
        measure([], [])


@pytest.mark.parametrize("name", ["own.csv", "own.jsonl", "own.csv.gz"])
def test_labelled_files_are_read_by_their_names(tmp_path: Path, name: str) -> None:
    content = (
        "text,label,category\na knife,unsafe,violence\na lake,0,\n"
        if ".csv" in name
        else '{"text": "a knife", "label": true, "category": "violence"}\n\n{"text": "a lake", "label": "benign"}\n'
    ).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    first, second = read_labelled(tmp_path / name)
    assert (first.harmful, first.category, first.source, second.harmful) == (True, "violence", "own", False)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"words,label\nx,1\n"),
        ("a.csv", b"text,label\n" + SECRET.encode() + b",perhaps\n"),
        ("a.csv", b""),
        ("a.jsonl", b"[1]\n"),
        ("a.jsonl", b"{broken"),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.parquet", b""),
        ("a.csv.gz", b"no gzip"),
    ],
)
def test_a_file_that_is_not_labelled_texts_is_refused_without_quoting_it(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableLabels, match="a\\.") as failure:
        read_labelled(tmp_path / name)
    assert SECRET not in str(failure.value)


@pytest.mark.parametrize(
    "name",
    [
        "upper_case",
        "zero_width",
        "bidi_controls",
        "fullwidth",
        "mathematical",
        "circled",
        "look_alikes",
        "dotted_letters",
    ],
)
def test_folding_reads_through_disguises(name: str) -> None:
    plain = "a hooded killer with a knife in the alley"
    assert plain in fold(DISGUISES[name](plain)).readings


def test_the_command_writes_a_report_on_a_classifier_and_a_policy(tmp_path: Path) -> None:
    from gateway.commands.moderation import moderation_app

    rows = ["text,label,category,language", "a man stabbing a woman,1,violence,en", "a calm lake at dawn,0,,en"]
    (tmp_path / "own.csv").write_text("\n".join(rows))
    wanted = ["--classifier", "terms=1.0", "--policy", "demo", "--data-dir", str(tmp_path / "data"), "--json"]
    ran = CliRunner().invoke(
        moderation_app, ["evaluate", str(tmp_path / "own.csv"), "--out", str(tmp_path / "report"), *wanted]
    )
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert set(said["subjects"]) == {"terms=1.0", "policy demo"}
    assert said["subjects"]["policy demo"]["policy"].startswith("sha256:")
    assert (tmp_path / "report" / "report.html").is_file()


def test_the_command_names_a_file_it_cannot_read(tmp_path: Path) -> None:
    from gateway.commands.moderation import moderation_app

    ran = CliRunner().invoke(moderation_app, ["evaluate", str(tmp_path / "none.csv"), "--out", str(tmp_path)])
    assert ran.exit_code == 2
