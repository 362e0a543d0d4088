"""The table of problems is complete: no exception of ours reaches a caller as an unexplained internal error."""

import importlib
import inspect
import pkgutil
import string
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

import gateway
import inference
import moderation
import policies
import provenance
from gateway.errors import GatewayError, LeaseLost, Suspended, UnknownWords
from gateway.problems import (
    FOREIGN,
    HELD,
    INTERNAL,
    TABLE,
    documented,
    failure_code,
    problem_of,
    problem_of_code,
    retryable_codes,
)
from gateway.store.blobs import BlobMissing
from inference.errors import InferenceError, OrderRefused, RenderTimeout
from moderation.errors import ModerationError
from policies.errors import PolicyError
from provenance.errors import ProvenanceError, UnreadableImage

BASES = {
    "gateway": GatewayError,
    "inference": InferenceError,
    "moderation": ModerationError,
    "policies": PolicyError,
    "provenance": ProvenanceError,
}
ON_PURPOSE_FOREIGN = {
    "gateway.parts.conformance.NotConforming": "an assertion: test runners report it as a failed test",
    "gateway.parts.conformance.samples.Refusal": "no handler of ours may catch it",
    "gateway.store.database.DatabaseSilent": "SQLAlchemy's, so that whoever expects a database that is away sees it",
}
BOOT_ONLY = {
    "gateway.auth.key_store.KeyRefused": "raised by the command that makes keys",
    "gateway.demo.server.ServerDidNotStart": "raised by the command that shows the demo",
    "gateway.parts.BootError": "the process does not start",
    "gateway.serving.server.PortTaken": "the process does not start",
    "gateway.sources.SettingsError": "the process does not start",
    "gateway.signing.reports.ReportChanged": "the command that checks a report says so and ends",
    "moderation.errors.PartUnusable": "raised by constructors",
    "policies.errors.PolicyError": "the process does not start",
    "moderation.evaluation.labelled.UnreadableLabels": "the command that evaluates says so and ends",
    "moderation.probes.pictures.TrainingRefused": "the command that trains says so and ends",
    "moderation.probes.pictures.PictureSkipped": "the command that trains counts it and goes on",
}
CAUGHT_INSIDE = {
    "gateway.errors.GatewayError": "base",
    "gateway.limits.quotas.LimitReached": "base of the two that are raised",
    "gateway.limits.quotas.SharedCountGone": "Limits counts for itself then",
    "gateway.serving.connections._Refused": "the connection answers and closes",
    "gateway.serving.readiness.NotAnswering": "a probe turns it into its name",
    "gateway.store.budgets.BudgetSpent": "jobs turn it into BudgetExhausted",
    "gateway.store.uploads.QuotaReached": "taking in an upload turns it into BadRequest",
    "gateway.store.jobs.KeyReused": "jobs turn it into IdempotencyKeyReused",
    "moderation.errors.ModerationError": "base",
    "moderation.errors.ClassifierFailed": "screening turns it into a finding",
    "moderation.known_pictures.formats.Unreadable": "the reader of lists turns it into its own",
    "moderation.lanes.LaneBusy": "screening turns it into a finding",
    "provenance.errors.AlreadyRecorded": "a bug if it ever gets out, and said to be one",
}


def modules() -> Iterator[ModuleType]:
    for package in (gateway, inference, moderation, policies, provenance):
        yield package
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if any(part in found.name for part in (".migrations", ".training", ".semantic", ".commands", ".cli")):
                continue
            yield importlib.import_module(found.name)


def exceptions() -> dict[str, Any]:
    return {
        f"{kind.__module__}.{kind.__qualname__}": kind
        for module in modules()
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    }


ALL = exceptions()
OURS = {name: kind for name, kind in ALL.items() if name not in ON_PURPOSE_FOREIGN}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_exception_has_its_packages_base_and_a_code_of_the_table(name: str) -> None:
    kind = OURS[name]
    assert issubclass(kind, BASES[name.partition(".")[0]])
    assert kind.code in TABLE
    assert "code" not in inspect.signature(kind.__init__).parameters, "the code belongs to the class"


@pytest.mark.parametrize("name", sorted(OURS))
def test_an_exception_without_a_code_of_its_own_is_listed_with_the_reason(name: str) -> None:
    assert (OURS[name].code == INTERNAL) is (name in BOOT_ONLY or name in CAUGHT_INSIDE)


def test_the_lists_of_exceptions_name_only_what_there_is() -> None:
    assert {*ON_PURPOSE_FOREIGN, *BOOT_ONLY, *CAUGHT_INSIDE} <= ALL.keys()
    for name in ON_PURPOSE_FOREIGN:
        assert not issubclass(ALL[name], tuple(BASES.values()))


def test_every_row_of_the_table_is_somebodys() -> None:
    assert TABLE.keys() == {*(kind.code for kind in OURS.values()), *FOREIGN.values(), HELD, INTERNAL}


@pytest.mark.parametrize("name", sorted(name for name in OURS if TABLE[OURS[name].code].exact))
def test_an_exception_has_what_its_row_says_of_it(name: str) -> None:
    """What a constructor takes, and what the class has, is there to be told."""
    has = {*inspect.signature(OURS[name].__init__).parameters, *dir(OURS[name])}
    if name in CAUGHT_INSIDE or name in BOOT_ONLY:
        return
    for text in TABLE[OURS[name].code].exact.values():
        for _, field, _, _ in string.Formatter().parse(text):
            if field is not None:
                root, _, path = field.partition(".")
                assert root == "failure"
                assert path.partition(".")[0] in has


@pytest.mark.parametrize("code", sorted(TABLE))
def test_a_row_speaks_in_whole_sentences(code: str) -> None:
    row = TABLE[code]
    assert 400 <= row.status < 600
    assert row.exact.keys() <= {"sentence", "field", "remedy"}
    assert row.title[:1].isupper()
    assert not row.title.endswith(".")
    for text in (row.sentence, row.remedy or "."):
        assert text.endswith(".")
        assert "{" not in text, "the general text holds without the exception"


def test_there_is_one_answer_for_each_code() -> None:
    assert [problem.code for problem in documented()] == list(TABLE)


@pytest.mark.parametrize(
    ("failure", "status", "code", "detail", "field", "remedy", "retry_after"),
    [
        (
            OrderRefused("steps", "Choose 1 to 4 steps"),
            422,
            "invalid_request",
            "steps: the model does not accept this value.",
            "steps",
            "Choose 1 to 4 steps",
            None,
        ),
        (
            UnreadableImage("frames", "The image is animated.", "Send a still image."),
            422,
            "unreadable_image",
            "The image is animated.",
            "file.frames",
            "Send a still image.",
            None,
        ),
        (
            BlobMissing("images/fg_1.png"),
            404,
            "not_found",
            "This file does not exist, or you have no access to it.",
            None,
            None,
            None,
        ),
        (
            Suspended(9, 0.0, "dec_1", "Write to us."),
            403,
            "suspended",
            "Too many similar requests were refused, so this user is suspended until 1970-01-01T00:00:00+00:00. "
            "The decision that led to the suspension is dec_1.",
            None,
            "Write to us.",
            9,
        ),
        (LeaseLost(), 503, "interrupted", "The server stopped while it worked on this request.", None, None, 2),
        (
            OperationalError("SELECT secret", {}, Exception("secret")),
            503,
            "database_unavailable",
            "The database does not answer.",
            None,
            None,
            5,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_tells_what_it_knows(
    failure: Exception,
    status: int,
    code: str,
    detail: str,
    field: str | None,
    remedy: str | None,
    retry_after: int | None,
) -> None:
    problem = problem_of(failure)
    assert (problem.status, problem.code, problem.detail) == (status, code, detail)
    assert (problem.field, problem.remedy, problem.retry_after) == (field, remedy, retry_after)


def test_a_suspension_names_its_decision_so_that_it_can_be_appealed() -> None:
    assert problem_of(Suspended(9, 0.0, "dec_1", "Write to us.")).decision == "dec_1"


def test_words_of_a_prompt_are_told_to_the_caller_and_stay_out_of_logs() -> None:
    failure = UnknownWords("prompt", ("quince", "medlar"))
    assert problem_of(failure).detail.endswith("quince, medlar.")
    assert "quince" not in str(failure)


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("secret"),
        KeyError("secret"),
        MemoryError("secret"),
        OSError("secret"),
        PolicyError("/secret/policy.toml", "secret", "secret", "secret"),
    ],
)
def test_neither_a_strangers_exception_nor_one_for_operators_is_quoted(failure: Exception) -> None:
    problem = problem_of(failure)
    assert (problem.status, problem.code) == (500, "internal_error")
    assert "secret" not in repr(problem)


def test_a_strangers_subclass_of_ours_is_told_by_its_code_alone() -> None:
    class Bare(UnreadableImage):
        def __init__(self) -> None:
            Exception.__init__(self, "secret")

    class Unlisted(RenderTimeout):
        code = "made_up"

    assert problem_of(Bare()) == problem_of_code("unreadable_image")
    assert problem_of(Unlisted(1.0)) == problem_of_code("internal_error")


def test_the_code_a_job_ended_with_is_told_with_the_same_status_later() -> None:
    failure = RenderTimeout(60.0)
    assert problem_of_code(failure_code(failure)) == problem_of(failure)
    assert failure_code(failure) in retryable_codes()


def test_a_code_of_another_version_is_still_an_answer() -> None:
    problem = problem_of_code("a_code_from_the_future")
    assert (problem.status, problem.code) == (500, "a_code_from_the_future")
