"""Finds parts by entry point: ours and a stranger's through the same door."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from gateway.errors import GatewayError
from gateway.parts import torchvision_ops
from provenance.signing.posting import Posting


class BootError(GatewayError):
    """The process must not start; the message says what to change."""


def part_names(kind: str) -> tuple[str, ...]:
    """Names of all installed parts of a kind, such as `prompt_classifiers`."""
    return tuple(sorted({point.name for point in entry_points(group=f"fluxgate.{kind}")}))


def find_part(kind: str, name: str) -> Any:
    """The part's class, model libraries with it. Raises `BootError` for an unknown name."""
    found = tuple(entry_points(group=f"fluxgate.{kind}", name=name))
    if not found:
        raise BootError(
            f"there is no part `{name}` among {kind}: choose one of {', '.join(part_names(kind)) or '(none)'}"
        )
    torchvision_ops.install()
    return found[0].load()


def build_part(kind: str, name: str, options: Mapping[str, Any]) -> Any:
    """An instance of the part. Raises `BootError` for an unknown name, unfit options or a failure."""
    part = find_part(kind, name)
    try:
        return connected(part(part.Options(**options)))
    except ValidationError as failure:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in failure.errors(include_input=False))
        raise BootError(f"the part `{name}` does not take these options: {said}") from failure
    except Exception as failure:
        raise BootError(f"the part `{name}` cannot be built: {failure}") from failure


def connected(part: Any) -> Any:
    """The part; one that asks a service (`provenance.signing.posting.Posting`) is given the way to reach it."""
    if isinstance(part, Posting):
        from gateway.posting import post  # most processes build no such part, and httpx takes a while to import

        part.post = post
    return part
