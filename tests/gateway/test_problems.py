"""The table of problems is complete: no exception of ours reaches a caller as an unexplained internal error."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

import gateway
import inference
import moderation
import policies
import provenance
from gateway.problems import failure_code, problem_of, problem_of_code

BOOT_ONLY = {
    "gateway.auth.key_store.KeyRefused": "raised by the command that makes keys",
    "gateway.parts.BootError": "the process does not start",
    "gateway.serving.server.PortTaken": "the process does not start",
    "gateway.settings.SettingsError": "the process does not start",
    "moderation.errors.PartUnusable": "raised by constructors",
    "policies.errors.PolicyError": "the process does not start",
    "moderation.evaluation.labelled.UnreadableLabels": "the command that evaluates says so and ends",
    "moderation.probes.pictures.TrainingRefused": "the command that trains says so and ends",
    "moderation.probes.pictures.PictureSkipped": "the command that trains counts it and goes on",
    "provenance.log.checkpoints.LogKeyInvalid": "the process does not start",
    "provenance.log.export.ExportRefused": "raised by the command that exports the log",
    "inference.errors.WeightsError": "raised by constructors",
}
CAUGHT_INSIDE = {
    "gateway.limits.quotas.SharedCountGone": "Limits counts for itself then",
    "gateway.limits.quotas.LimitReached": "base of the two that are raised",
    "gateway.errors.GatewayError": "base",
    "gateway.serving.connections._Refused": "the connection answers and closes",
    "gateway.serving.readiness.NotAnswering": "a probe turns it into its name",
    "gateway.store.budgets.BudgetSpent": "jobs turn it into BudgetExhausted",
    "gateway.store.jobs.KeyReused": "jobs turn it into IdempotencyKeyReused",
    "moderation.errors.ModerationError": "base",
    "moderation.errors.ClassifierFailed": "screening turns it into a finding",
    "moderation.known_pictures.formats.Unreadable": "the reader of lists turns it into its own",
    "moderation.lanes.LaneBusy": "screening turns it into a finding",
    "provenance.errors.AlreadyRecorded": "a bug if it ever gets out, and said to be one",
    "provenance.labels.visible.LabelDoesNotFit": "the desk and sealing turn it into their own",
    "provenance.log.tiles.TileInvalid": "fsck turns it into a fault",
}


def modules() -> Iterator[ModuleType]:
    for package in (gateway, inference, moderation, policies, provenance):
        yield package
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if any(part in found.name for part in (".migrations", ".commands", ".cli", ".demo", ".semantic")):
                continue
            yield importlib.import_module(found.name)


def exceptions() -> dict[str, type[Exception]]:
    return {
        f"{kind.__module__}.{kind.__qualname__}": kind
        for module in modules()
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    }


def an_instance(kind: type[Exception]) -> Exception:
    """Without its constructor: only what the class is matters; what the table reads of it is filled in."""
    failure = kind.__new__(kind, "field: what is wrong")
    known = {
        "code": "invalid_key", "field": "field", "problem": "problem", "remedy": "remedy", "limit": 1, "what": "thing",
        "limit_name": "key", "retry_after_seconds": 1,
        "words": ("word",), "until": 0.0, "decision": "dec_1", "appeal": "Write to us.",
    }  # fmt: skip
    for name, value in known.items():
        if not hasattr(failure, name):
            setattr(failure, name, value)
    return failure


EXPECTED = {name: kind for name, kind in exceptions().items() if name not in BOOT_ONLY and name not in CAUGHT_INSIDE}
SPECIAL = {"gateway.errors.UploadRefused", "gateway.auth.identity.NotPermitted"}  # need a whole value inside; see walks


@pytest.mark.parametrize("name", sorted(EXPECTED.keys() - SPECIAL))
def test_every_exception_has_a_row_of_its_own_or_a_reason_to_have_none(name: str) -> None:
    problem = problem_of(an_instance(EXPECTED[name]))
    assert problem.code != "internal_error"
    assert problem.title
    assert problem.detail
    assert 400 <= problem.status < 600


def test_the_lists_of_exceptions_name_only_what_there_is() -> None:
    assert {*BOOT_ONLY, *CAUGHT_INSIDE, *SPECIAL} <= exceptions().keys()


@pytest.mark.parametrize(
    "failure", [RuntimeError("secret"), KeyError("secret"), MemoryError("secret"), OSError("secret")]
)
def test_a_strangers_exception_is_never_quoted(failure: Exception) -> None:
    problem = problem_of(failure)
    assert (problem.status, problem.code) == (500, "internal_error")
    assert "secret" not in repr(problem)


@pytest.mark.parametrize("name", sorted(EXPECTED.keys() - SPECIAL))
def test_the_code_a_job_ended_with_is_told_with_the_same_status_later(name: str) -> None:
    failure = an_instance(EXPECTED[name])
    at_once, later = problem_of(failure), problem_of_code(failure_code(failure))
    if at_once.status >= 500:
        assert (later.status, later.code) == (at_once.status, at_once.code)


def test_a_code_of_another_version_is_still_an_answer() -> None:
    problem = problem_of_code("a_code_from_the_future")
    assert (problem.status, problem.code) == (500, "a_code_from_the_future")
