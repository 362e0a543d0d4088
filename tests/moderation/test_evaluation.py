"""The evaluation counts right, says how sure it is, quotes no text, and refuses files it cannot read."""

import gzip
import json
import re
from pathlib import Path

import numpy
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

from gateway.commands.moderation import moderation_app
from gateway.signing.provisioning import open_ledger
from gateway.store.data_folder import open_data_folder
from moderation.evaluation import figures
from moderation.evaluation.disguises import DISGUISES
from moderation.evaluation.figures import Share
from moderation.evaluation.labelled import Labelled, UnreadableLabels, read_labelled
from moderation.evaluation.measuring import measure
from moderation.evaluation.report import write_report
from moderation.evaluation.scorers import ClassifierSubject, VerdictSubject
from moderation.text.folding import FoldedText, fold
from policies.findings import Finding, Stage, unanswered
from policies.reading import SHIPPED

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


class LiteralPart(WordPart):
    """Reads what is written and nothing behind it."""

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return super().classify(FoldedText(text.original, text.folded))


class SilentPart(WordPart):
    """Never answers."""

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        return (unanswered(Stage.PROMPT, self.name, self.version, "timeout"),)


TEXTS = [
    Labelled(f"a knife attack {SECRET}", True, "violence", "en", "one", 1),
    Labelled("an ugly joke", True, "hate", "en", "one", 2),
    Labelled("a knife and fork", False, "violence", "en", "one", 3),
    Labelled("a calm lake", False, "", "en", "one", 4),
    Labelled("ein Messer (knife) im Rücken", True, "violence", "de", "two", 1),
    Labelled("ein See", False, "", "de", "two", 2),
]


def run(*arguments: str) -> Result:
    """`fluxgate moderation …`."""
    return CliRunner().invoke(moderation_app, list(arguments))


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
    assert found["evasion"]["base64"]["recall_lost"]["value"] == 0.0
    literal = measure([ClassifierSubject("literal", [LiteralPart()], 0.5)], TEXTS, disguised=5)["subjects"]["literal"]
    assert literal["evasion"]["base64"]["recall_lost"]["value"] == 1.0
    assert {each["wanted"] for each in found["proposed"]} == {0.001, 0.005, 0.01, 0.05}


def test_thresholds_are_proposed_for_every_category_by_its_own_scores() -> None:
    subject = ClassifierSubject("word", [WordPart()], 0.5)
    found = measure([subject], TEXTS, disguised=0, wanted=[0.0, 0.5])["subjects"]["word"]
    harmless = [subject.read(text.text).categories for text in TEXTS if not text.harmful]
    assert found["proposed_by_category"].keys() == harmless[0].keys() != set()
    for category, thresholds in found["proposed_by_category"].items():
        for wanted, threshold in thresholds.items():
            reached = sum(scores[category] >= threshold for scores in harmless)
            assert reached <= float(wanted) * len(harmless), category


def test_a_zone_counts_what_a_second_classifier_would_be_asked(tmp_path: Path) -> None:
    found = measure([ClassifierSubject("word", [WordPart()], 0.5)], TEXTS, disguised=0, zone=(0.05, 0.5))
    shares = found["subjects"]["word"]["zone"]["asked"]
    assert {kind: (share["value"], share["of"]) for kind, share in shares["all"].items()} == {
        "harmful": (pytest.approx(1 / 3, abs=1e-4), 3),
        "harmless": (pytest.approx(2 / 3, abs=1e-4), 3),
    }
    assert shares["two"]["harmless"]["value"] == 1.0
    write_report(found, tmp_path, made={})
    assert "where a second classifier would be asked" in (tmp_path / "report.md").read_text()


def test_two_subjects_are_compared_decision_by_decision() -> None:
    subjects = [ClassifierSubject("knife", [WordPart()], 0.5), ClassifierSubject("joke", [WordPart("joke")], 0.5)]
    both = measure(subjects, TEXTS, disguised=0)["comparison"]
    assert (both["harmful_only_first"], both["harmful_only_second"], both["harmless_only_first"]) == (2, 1, 1)
    assert both["equal_decisions"]["value"] == pytest.approx(2 / 6, abs=1e-4)
    assert both["harmful_by_chance"] == 1.0
    named = {(each["file"], each["row"]): (each["first"], each["second"]) for each in both["differing"]}
    assert named == {("one", 1): (1.0, 0.1), ("one", 2): (0.1, 1.0), ("one", 3): (1.0, 0.1), ("two", 1): (1.0, 0.1)}


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 3), (0, 5), (9, 2), (700, 600)])
def test_what_chance_would_do_is_the_binomial_test(first: int, second: int) -> None:
    wanted = binomtest(first, first + second).pvalue if first + second else 1.0
    assert figures.by_chance(first, second) == pytest.approx(wanted)


def test_silence_counts_as_refusal() -> None:
    found = measure([ClassifierSubject("silent", [SilentPart()], 0.5)], TEXTS, disguised=0)["subjects"]["silent"]
    assert found["all"]["refused_harmless"]["value"] == 1.0


def test_the_report_names_the_policy_and_quotes_no_text(tmp_path: Path) -> None:
    judged = VerdictSubject("policy <own>", lambda text: float("knife" in text), 0.5, "sha256:abc", ("allow", "refuse"))
    found = measure([judged, ClassifierSubject("word", [WordPart()], 0.5)], TEXTS)
    paths = write_report(found, tmp_path / "report", made={"files": "mine.csv"})
    written = {path.name: path.read_text() for path in paths}
    plots = {"roc.svg", "scores-1.svg", "scores-2.svg"}
    assert set(written) == {"report.md", "report.html", "figures.json", "differing.csv"} | plots
    assert "| refuse | 66.7%" in written["report.md"]
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


def test_the_command_writes_a_report_on_a_classifier_and_a_policy(tmp_path: Path, settings_folder: Path) -> None:
    rows = ["text,label,category,language", "a man stabbing a woman,1,violence,en", "a calm lake at dawn,0,,en"]
    (tmp_path / "own.csv").write_text("\n".join(rows))
    wanted = ["--classifier", "terms=1.0", "--policy", "demo", "--data-dir", str(settings_folder), "--json"]
    ran = run("evaluate", str(tmp_path / "own.csv"), "--out", str(tmp_path / "report"), *wanted)
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert set(said["subjects"]) == {"terms=1.0", "policy demo"}
    assert said["subjects"]["policy demo"]["policy"].startswith("sha256:")
    assert (tmp_path / "report" / "report.html").is_file()


def test_two_versions_of_one_policy_are_compared_under_their_digests(tmp_path: Path, settings_folder: Path) -> None:
    rows = ["text,label", "a man stabbing a woman,1", "a calm lake at dawn,0", "a museum of cold weapons,0"]
    (tmp_path / "own.csv").write_text("\n".join(rows))
    changed = tmp_path / "demo.toml"
    text = re.sub(r'"([a-z_/]+\.toml)"', r'"shipped:\1"', (SHIPPED / "demo.toml").read_text())
    changed.write_text(text.replace('version = "', 'version = "9', 1))
    options = ["--policy", "demo", "--policy", str(changed), "--data-dir", str(settings_folder), "--json"]
    ran = run("evaluate", str(tmp_path / "own.csv"), "--out", str(tmp_path / "report"), *options)
    assert ran.exit_code == 0, ran.output
    first, second = json.loads(ran.stdout)["subjects"].values()
    assert first["policy"] != second["policy"]
    assert first["verdicts"] == second["verdicts"]
    assert "proposed" not in first, "a verdict has no threshold to propose"


def test_a_signed_report_is_checked_and_every_change_of_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("text,label\na man stabbing a woman,1\na calm lake at dawn,0\n")
    data, report = tmp_path / "data", tmp_path / "report"
    made = ["--out", str(report), "--classifier", "terms=1.0", "--data-dir", str(data), "--sign"]
    assert run("evaluate", str(tmp_path / "own.csv"), *made).exit_code == 2, "without a log nothing is signed"
    folder = open_data_folder(data)
    ledger = open_ledger(folder)
    ran = run("evaluate", str(tmp_path / "own.csv"), *made)
    assert ran.exit_code == 0, ran.output
    again = run("evaluate", str(tmp_path / "own.csv"), *made)
    assert (again.exit_code, "not empty" in again.stderr) == (2, True)
    assert ledger.size == 1

    check = ("check", str(report), "--data-dir", str(data))
    ran = run(*check)
    assert (ran.exit_code, "As signed by fluxgate-log-" in ran.stdout) == (0, True)
    elsewhere = run("check", str(report), "--data-dir", str(tmp_path), "--vkey", ledger.vkey)
    assert elsewhere.exit_code == 0, "the key alone is enough"
    stranger = open_ledger(open_data_folder(tmp_path / "other")).vkey
    assert run(*check, "--vkey", stranger).exit_code == 1

    kept = (report / "report.md").read_bytes()
    for change in (kept + b" ", None):
        if change is None:
            (report / "report.md").unlink()
        else:
            (report / "report.md").write_bytes(change)
        ran = run(*check)
        assert (ran.exit_code, "report.md" in ran.stderr) == (1, True)
    (report / "report.md").write_bytes(kept)
    (report / "in").mkdir()
    for more in (report / "more.md", report / "in" / "more.md"):
        more.write_text("one file more")
        assert run(*check).exit_code == 1
        more.unlink()
        assert run(*check).exit_code == 0
    (report / "receipt.json").unlink()
    assert run(*check).exit_code == 1


def test_the_command_names_a_file_it_cannot_read(tmp_path: Path) -> None:
    ran = run("evaluate", str(tmp_path / "none.csv"), "--out", str(tmp_path))
    assert ran.exit_code == 2
