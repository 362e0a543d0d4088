"""Loading: a policy that loads is whole, and one that does not says file, field and remedy."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.errors import PolicyError
from policies.evaluate import evaluate
from policies.findings import Category, Finding, Stage
from policies.loading import BUILTIN_POLICIES, load_policy
from policies.policy import ASSURANCE_LEVELS
from policies.reading import MAX_POLICY_BYTES, SHIPPED
from policies.verdicts import Verdict
from tests.policies.house_policy import POLICY, WORDS, changed, write_policy

EXTRA_RULE = """
[[rule]]
id = "extra"
verdict = "VERDICT"
categories = CATEGORIES
threshold = THRESHOLD
"""


def extra(verdict: str, categories: str, threshold: float) -> str:
    rule = EXTRA_RULE.replace("VERDICT", verdict).replace("CATEGORIES", categories)
    return POLICY + rule.replace("THRESHOLD", str(threshold))


@pytest.mark.parametrize("name", BUILTIN_POLICIES)
def test_every_shipped_policy_loads_and_carries_the_floor(name: str) -> None:
    policy = load_policy(name)
    assert policy.name == name
    assert {rule.id for rule in policy.floor} == {
        "floor-minors",
        "floor-intimate-imagery",
        "floor-undressing-a-picture",
        "floor-sexualising-a-person",
        "floor-unanswered",
    }
    assert policy.appeal.days >= 183, "DSA Art 20(1): at least six months"
    assert policy.description
    assert policy.digest == load_policy(name).digest


def test_the_demo_needs_nothing_that_has_to_be_downloaded() -> None:
    demo = load_policy("demo").classifiers
    uses = {(use.kind, use.part) for use in demo}
    words = {
        ("prompt", part) for part in ("terms", "semantic", "languages", "nonsense", "named_people", "rights_holders")
    }
    assert uses == words | {("image", part) for part in ("pdq_list", "clip", "rights_holders")}
    clip = next(use for use in demo if use.part == "clip")
    assert str(clip.options["model"]).startswith("shipped:")


def test_data_tables_reach_the_classifier_in_the_files_order() -> None:
    terms = next(use for use in load_policy("default").classifiers if use.part == "terms")
    tables = terms.options["data"]
    assert isinstance(tables, tuple)
    languages = ["en", "de", "fr", "es", "it", "pt", "nl", "zh", "pl", "hi", "ar", "exposure"]
    assert [table["language"] for table in tables] == languages


def test_a_policy_of_ones_own_may_use_the_shipped_lists(tmp_path: Path) -> None:
    path = write_policy(tmp_path, changed('"words.toml"', '"words.toml", "shipped:terms/de.toml"'))
    tables = load_policy(path).classifiers[0].options["data"]
    assert isinstance(tables, tuple)
    assert [table["language"] for table in tables] == ["en", "de"]


def test_the_digest_does_not_depend_on_where_the_files_lie(tmp_path: Path) -> None:
    here, there = write_policy(tmp_path / "here"), write_policy(tmp_path / "there" / "deeper")
    assert load_policy(here).digest == load_policy(str(there)).digest


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_digest_changes_with_any_byte_of_the_policy_or_its_data(tmp_path: Path, data: st.DataObject) -> None:
    whole = load_policy(write_policy(tmp_path)).digest
    comments = {"house.toml": POLICY + "\n# abcdef", "words.toml": WORDS + "\n# abcdef"}
    name = data.draw(st.sampled_from(sorted(comments)))
    text = comments[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    commented = load_policy(tmp_path / "house.toml").digest
    at = data.draw(st.integers(len(text) - 6, len(text) - 1))
    letter = data.draw(st.sampled_from("uvwxyz"))
    (tmp_path / name).write_text(text[:at] + letter + text[at + 1 :], encoding="utf-8")
    assert len({whole, commented, load_policy(tmp_path / "house.toml").digest}) == 3


def test_the_digest_changes_when_a_byte_moves_from_one_file_into_the_next(tmp_path: Path) -> None:
    one = load_policy(write_policy(tmp_path / "one", POLICY + "\n", WORDS)).digest
    other = load_policy(write_policy(tmp_path / "other", POLICY, "\n" + WORDS)).digest
    assert one != other


@pytest.mark.parametrize("name", ["floor.toml", "taxonomy.toml"])
def test_the_digest_covers_floor_and_taxonomy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = load_policy("demo").digest
    copy = tmp_path / name
    copy.write_bytes((SHIPPED / name).read_bytes() + b"# one byte more")
    monkeypatch.setattr(
        "policies.loading.FLOOR_FILE" if name == "floor.toml" else "policies.loading.TAXONOMY_FILE", copy
    )
    assert load_policy("demo").digest != before


FAULTS = {
    "an unknown field": (changed('version = "7"', 'version = "7"\nlenient = true'), "lenient", "mend its spelling"),
    "a missing field": (changed('version = "7"\n', ""), "version", "Add it"),
    "an unknown category": (
        changed('categories = ["unanswered"]', 'categories = ["unanswered", "rudeness"]'),
        "rule[silence].categories[1]",
        "Use one of csae, ncii",
    ),
    "an unknown verdict": (
        extra("warn", '["hate"]', 0.5),
        "rule[extra].verdict",
        "'allow', 'flag', 'hold' or 'refuse'",
    ),
    "a threshold above one": (extra("flag", '["hate"]', 1.5), "rule[extra].threshold", "less than or equal to 1"),
    "a threshold below zero": (extra("flag", '["hate"]', -0.1), "rule[extra].threshold", "greater than or equal to 0"),
    "a level outside the scale": (
        changed("terms = 1.0", "terms = 100"),
        "levels.sure.terms",
        "less than or equal to 1",
    ),
    "a threshold that is not a number": (changed("other = 0.9", "other = nan"), "levels.sure.other", "finite number"),
    "a threshold in quotes": (changed("other = 0.9", 'other = "0.9"'), "levels.sure.other", "valid number"),
    "a level silent about others": (changed("other = 0.9\n", ""), "levels.sure", "Add other"),
    "a level for a classifier nobody asks": (
        changed("terms = 1.0", "semntic = 0.9"),
        "levels.sure.semntic",
        "Use one of pdq_list, terms",
    ),
    "a level nobody defined": (
        changed('level = "sure"', 'level = "certain"'),
        "rule[everything].level",
        "Use one of: sure",
    ),
    "level and threshold at once": (
        changed('level = "sure"', 'level = "sure"\nthreshold = 0.5'),
        "rule[everything].level",
        "exactly one",
    ),
    "neither level nor threshold": (changed('level = "sure"\n', ""), "rule[everything].level", "exactly one"),
    "a rule for nobody": (
        changed('level = "sure"', 'level = "sure"\nmin_assurance = 2\nbelow_assurance = 2'),
        "rule[everything].below_assurance",
        "larger than min_assurance",
    ),
    "an assurance level that is none": (
        changed('level = "sure"', 'level = "sure"\nmin_assurance = 4'),
        "rule[everything].min_assurance",
        "less than 4",
    ),
    "two rules of one id": (
        extra("flag", '["hate"]', 0.5).replace('"extra"', '"everything"'),
        "rule[everything].id",
        "its own id",
    ),
    "a rule with an id of the floor": (
        extra("refuse", '["csae"]', 0.5).replace('"extra"', '"floor-minors"'),
        "rule[floor-minors].id",
        "ids of the floor are taken",
    ),
    "no rule for unanswered": (changed('["unanswered"]', '["hate"]'), "rule", "categories = ['unanswered']"),
    "unanswered merely held": (
        changed('verdict = "refuse"\ncategories = ["unanswered"]', 'verdict = "hold"\ncategories = ["unanswered"]'),
        "rule[silence].verdict",
        "refuse it",
    ),
    "minors allowed": (extra("allow", '["csae"]', 0.1), "rule[extra].verdict", "Take the category out"),
    "minors merely flagged": (extra("flag", '["csae"]', 1.0), "rule[extra].verdict", "Take the category out"),
    "intimate imagery held instead of refused": (extra("hold", '["ncii"]', 1.0), "rule[extra].verdict", "be stricter"),
    "a category nothing is said about": (changed('"gore", ', ""), "rule", "verdict = 'allow' if that is meant"),
    "no classifiers": (
        POLICY.replace('[[classifier]]\nkind = "prompt"\npart = "terms"\ndata = ["words.toml"]\n', "")
        .replace('[[classifier]]\nkind = "image"\npart = "pdq_list"\n', "classifier_was_here")
        .replace("classifier_was_here", "")
        .replace('name = "house"', 'name = "house"\nclassifier = []'),
        "classifier",
        "silence would be consent",
    ),
    "nobody who looks at pictures": (
        changed('[[classifier]]\nkind = "image"\npart = "pdq_list"\n', ""),
        "classifier",
        "kind = 'image'",
    ),
    "a classifier named twice": (
        POLICY + '\n[[classifier]]\nkind = "image"\npart = "pdq_list"\n',
        "classifier[pdq_list]",
        "Name it once",
    ),
    "data smuggled in as an option": (
        changed('data = ["words.toml"]', "options = { data = [] }"),
        "classifier[terms].options.data",
        "under `data`",
    ),
    "a data file outside the folder": (
        changed('"words.toml"', '"../words.toml"'),
        "classifier[terms].data",
        "into the policy's folder",
    ),
    "an absolute data file": (changed('"words.toml"', '"/etc/hosts"'), "classifier[terms].data", "relative name"),
    "a shipped file outside the shipped data": (
        changed('"words.toml"', '"shipped:../policy.py"'),
        "classifier[terms].data",
        "relative name",
    ),
    "a gap without a reason": (
        POLICY + '\n[[gap]]\ncategories = ["gore"]\nstages = ["prompt"]\nreason = ""\n',
        "gap[0].reason",
        "at least 20 characters",
    ),
    "a gap accepted twice": (
        POLICY + '\n[[gap]]\ncategories = ["gore", "gore"]\nstages = ["prompt"]\nreason = "nobody looks for it here"\n',
        "gap",
        "once",
    ),
    "silence accepted as a gap": (
        POLICY + '\n[[gap]]\ncategories = ["unanswered"]\nstages = ["prompt"]\nreason = "nobody looks for it here"\n',
        "gap",
        "cannot stand here",
    ),
    "text that is not TOML": (changed("days = 183", "days = = 183"), "", "line 8"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_policy_is_refused_by_file_field_and_remedy(tmp_path: Path, fault: str) -> None:
    text, field, remedy = FAULTS[fault]
    path = write_policy(tmp_path, text)
    with pytest.raises(PolicyError) as refusal:
        load_policy(path)
    assert refusal.value.file == str(path)
    assert refusal.value.field == field
    assert refusal.value.remedy
    assert remedy in str(refusal.value)


def test_a_missing_policy_and_a_missing_data_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.toml: there is no such file"):
        load_policy(tmp_path / "nowhere.toml")
    path = write_policy(tmp_path)
    (tmp_path / "words.toml").unlink()
    with pytest.raises(PolicyError, match=r"words\.toml: there is no such file"):
        load_policy(path)


def test_an_oversized_policy_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = write_policy(tmp_path, POLICY + "#" * MAX_POLICY_BYTES)
    with pytest.raises(PolicyError, match="larger than"):
        load_policy(path)


def test_a_policy_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = write_policy(tmp_path)
    path.write_bytes(POLICY.encode("utf-16"))
    with pytest.raises(PolicyError, match="not UTF-8"):
        load_policy(path)


def test_a_folder_in_place_of_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="regular file"):
        load_policy(tmp_path)


def test_a_policy_may_be_stricter_than_the_floor(tmp_path: Path) -> None:
    policy = load_policy(write_policy(tmp_path, extra("hold", '["csae"]', 0.3)))
    faint = Finding(Category.CSAE.value, 0.4, Stage.PROMPT, "semantic", "1")
    assert evaluate(policy, [faint], stage=Stage.PROMPT, assurance=3).verdict is Verdict.HOLD


rule_texts = st.builds(
    lambda at, verdict, categories, threshold, low, high: (
        f'\n[[rule]]\nid = "extra-{at}"\nverdict = "{verdict}"\ncategories = {sorted(categories)}\n'
        f"threshold = {threshold}\nmin_assurance = {low}\nbelow_assurance = {high}\n"
    ),
    st.uuids(),
    st.sampled_from([verdict.word for verdict in Verdict]),
    st.sets(st.sampled_from([category.value for category in Category]), min_size=1),
    st.floats(0, 1).map(lambda score: round(score, 3)),
    st.integers(0, 3),
    st.integers(1, 4),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=st.lists(rule_texts, max_size=3), sure=st.floats(0, 1).map(lambda score: round(score, 3)))
def test_no_content_of_a_policy_file_lowers_the_floor(tmp_path: Path, rules: list[str], sure: float) -> None:
    text = changed("other = 0.9", f"other = {sure}") + "".join(rules)
    try:
        policy = load_policy(write_policy(tmp_path, text))
    except PolicyError:
        return  # refused at load: not lowered either
    for category in (Category.CSAE, Category.NCII):
        for stage in Stage:
            for assurance in ASSURANCE_LEVELS:
                for classifier, score in (
                    ("terms", 1.0),
                    ("semantic", 0.9),
                    ("clip", 0.9),
                    ("pdq_list", 0.75),
                    ("x", 0.9),
                ):
                    found = Finding(category.value, score, stage, classifier, "1")
                    assert evaluate(policy, [found], stage=stage, assurance=assurance).verdict is Verdict.REFUSE
