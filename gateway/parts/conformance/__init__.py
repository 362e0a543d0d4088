"""Checks a part with one call: what its author runs, and what our own parts are held to.

    from gateway.parts.conformance import check

    def test_my_part_conforms() -> None:
        check("prompt_classifiers", MyPart, {"words": ["lighthouse"]})

`check` builds the part, uses it as the gateway does, and raises `NotConforming` with every fault it found, each with
what to mend. A part without faults returns nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from gateway.parts import torchvision_ops
from gateway.parts.conformance.callers import dialect_faults, identity_faults
from gateway.parts.conformance.classifiers import image_faults, prompt_faults, reader_faults
from gateway.parts.conformance.engines import engine_faults
from gateway.parts.conformance.marks import foreign_faults, watermarker_faults
from gateway.parts.conformance.samples import Samples
from gateway.parts.conformance.shape import built, class_faults, instance_faults
from gateway.parts.conformance.signers import signer_faults

__all__ = ["GROUPS", "NotConforming", "Samples", "check"]

GROUPS: Mapping[str, Callable[[Any, Samples], Iterator[str]]] = {
    "prompt_classifiers": prompt_faults,
    "image_classifiers": image_faults,
    "image_text_readers": reader_faults,
    "engines": engine_faults,
    "watermarkers": watermarker_faults,
    "foreign_marks": foreign_faults,
    "signers": signer_faults,
    "identity_providers": identity_faults,
    "dialects": dialect_faults,
}
"""Entry-point group, without `fluxgate.`, → what is checked of a part of that group."""


class NotConforming(AssertionError):
    """The part has faults. `faults`: one sentence each, with what to mend."""

    def __init__(self, group: str, part: str, faults: tuple[str, ...]) -> None:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"the part `{part}` of fluxgate.{group} does not conform:\n{lines}")
        self.faults = faults


def check(
    group: str, part: type | str, options: Mapping[str, Any] | None = None, samples: Samples | None = None
) -> None:
    """Raises `NotConforming` unless `part` is a sound part of `group`.

    `group`: an entry-point group, with or without `fluxgate.`. `part`: the class, or the name of its entry point, which
    is then checked too. `options`: what the part is built with. `samples`: what the part is asked, where a part needs
    more than the defaults.
    """
    group = group.removeprefix("fluxgate.")
    if group not in GROUPS:
        raise ValueError(f"there is no group `{group}`: choose one of {', '.join(GROUPS)}")
    torchvision_ops.install()
    name, found = part if isinstance(part, str) else part.__name__, part
    if isinstance(part, str):
        points = {point.value: point for point in entry_points(group=f"fluxgate.{group}", name=part)}
        if len(points) != 1:
            many = "no" if not points else "more than one"
            raise NotConforming(
                group, part, (f"there is {many} entry point `{part}`: name it once in pyproject.toml, and reinstall",)
            )
        found = next(iter(points.values())).load()
    faults = list(class_faults(found, part if isinstance(part, str) else None))
    if not faults:
        instance, failure = built(found, options or {})
        faults += [failure] if failure else _used(group, instance, samples or Samples())
    if faults:
        raise NotConforming(group, name, tuple(dict.fromkeys(faults)))


def _used(group: str, instance: Any, samples: Samples) -> list[str]:
    """Faults of a built part in use; it is closed afterwards, as the gateway closes it."""
    faults = list(instance_faults(instance))
    if faults:
        return faults
    close = getattr(instance, "close", None)
    try:
        faults = list(GROUPS[group](instance, samples))
    except AttributeError as missing:
        faults = [f"the part lacks what the protocol asks for ({missing}): add it"]
    if callable(close):
        try:
            close()
        except Exception as error:  # noqa: BLE001  whatever it raises is the fault
            faults.append(f"`close` raised {type(error).__name__}: let it release what the part holds, and not raise")
    return faults
