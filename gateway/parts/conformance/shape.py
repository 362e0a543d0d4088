"""What every part has, whatever its group: a name, a version, frozen options, a constructor that takes only these."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway.parts import connected

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSION = re.compile(r"[!-~]{1,200}")


def class_faults(part: Any, entry_point: str | None) -> Iterator[str]:
    """Faults that show before the part is built."""
    if not isinstance(part, type):
        yield "the entry point does not lead to a class: name the class itself, `module:Class`"
        return
    name = getattr(part, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield "give the class an attribute `name`: lower-case letters, digits and underscores"
    elif entry_point is not None and name != entry_point:
        yield f"the entry point is `{entry_point}` and the class says `name = {name!r}`: let both be the same"
    if not isinstance(getattr(part, "version", ""), str) or not (hasattr(part, "version") or _promises_version(part)):
        yield "give the class an attribute `version`, a string: it stands in every finding, manifest or log entry"
    options = getattr(part, "Options", None)
    if not isinstance(options, type) or not issubclass(options, BaseModel):
        yield "give the class a nested pydantic model `Options`, empty if there is nothing to choose"
        return
    if not options.model_config.get("frozen"):
        yield 'freeze the options: `model_config = ConfigDict(frozen=True, extra="forbid")`'
    if options.model_config.get("extra") != "forbid":
        yield 'refuse unknown options: `extra="forbid"`, so that a misspelled setting stops the start'
    needed = [
        each
        for each in inspect.signature(part).parameters.values()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if len(needed) != 1:
        yield "let the constructor take the options and nothing else: `def __init__(self, options: Options) -> None`"


def built(part: Any, options: Mapping[str, Any]) -> tuple[Any, str]:
    """(The part, "") or (None, why it cannot be built)."""
    try:
        chosen = part.Options(**options)
    except ValidationError as failure:
        fields = ", ".join(".".join(map(str, error["loc"])) for error in failure.errors(include_input=False))
        return None, f"`Options` does not take the options of this check ({fields}): hand `check` options that fit"
    try:
        return connected(part(chosen)), ""
    except Exception as failure:  # noqa: BLE001  whatever it raises is the fault
        return None, f"the constructor raised {type(failure).__name__}: {failure}"


def instance_faults(instance: Any) -> Iterator[str]:
    """Faults of any built part."""
    if not isinstance(instance.version, str) or not _VERSION.fullmatch(instance.version):
        yield "`version` of the built part must be a string of printable ASCII without blanks"
    if instance.name != type(instance).name:
        yield "`name` of the built part differs from its class: it is the entry point's name, and fixed"


def _promises_version(part: type) -> bool:
    return any("version" in getattr(each, "__annotations__", {}) for each in part.__mro__)
