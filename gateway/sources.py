"""Where settings come from, in the order in which one wins over the next: values given by the caller (command-line
options), environment variables (`FLUXGATE_PORT=9000`, nested with two underscores: `FLUXGATE_LIMITS__REDIS_URL=…`),
files that a variable with `_FILE` at its end names (`FLUXGATE_DATABASE_URL_FILE=/run/secrets/database`), a TOML file.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, TomlConfigSettingsSource
from pydantic_settings.sources.types import EnvNoneType

from gateway.errors import GatewayError

PREFIX: Final = "FLUXGATE_"
_SUFFIX: Final = "_file"
_NESTING: Final = "__"
_MOST_BYTES: Final = 65_536


class SettingsError(GatewayError):
    """A setting is unknown or out of range; the message names source, field and remedy."""


class _Variables(EnvSettingsSource):
    """Variables that are handed in: names without prefix, in lower case, with values that are already decoded."""

    def __init__(self, kind: type[BaseSettings], variables: Mapping[str, Any]) -> None:
        super().__init__(kind, case_sensitive=True, env_nested_delimiter=_NESTING, env_parse_none_str="null")
        self.env_vars = variables

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        """What is no JSON stays text, which the field's own check then refuses by the field's name."""
        return value


def read_sources(
    kind: type[BaseSettings], file: Path, given: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, Any]:
    """The values of all sources, merged and unchecked. Raises `SettingsError` for a file that cannot be read."""
    variables = {
        name.removeprefix(PREFIX).lower(): (name, value) for name, value in environ.items() if name.startswith(PREFIX)
    }
    named = {name: variables.pop(name) for name in list(variables) if _names_a_file(kind, name)}
    # Other variables with our prefix (of a deployment's own scripts) are not ours to refuse: no source looks at them.
    plain = {name: _value(name, text) for name, (_, text) in variables.items()}
    secret = {name.removesuffix(_SUFFIX): _value(name, _content(*each)) for name, each in named.items()}
    try:
        written = TomlConfigSettingsSource(kind, file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise SettingsError(f"{file} is not valid TOML: {failure}") from failure
    merged: dict[str, Any] = {}
    for source in (written, _Variables(kind, secret), _Variables(kind, plain), InitSettingsSource(kind, dict(given))):
        _merge(merged, source())
    return merged


def _names_a_file(kind: type[BaseModel], name: str) -> bool:
    """True for the variable of a file that holds a setting; `key_passphrase_file` is a setting of its own."""
    held = name.removesuffix(_SUFFIX)
    return held != name and _declares(kind, held.split(_NESTING)) and not _declares(kind, name.split(_NESTING))


def _declares(kind: Any, path: list[str]) -> bool:
    field = kind.model_fields.get(path[0])
    if field is None or len(path) == 1:
        return field is not None
    nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    return nested and _declares(field.annotation, path[1:])


def _content(variable: str, file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(_MOST_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as failure:
        raise SettingsError(f"{variable}: the file that it names cannot be read ({type(failure).__name__})") from None
    if not text:  # an empty database_url would quietly mean the default one
        raise SettingsError(f"{variable}: the file that it names is empty")
    return text


def _value(name: str, text: str) -> Any:
    """Objects, lists, `null` and quoted strings are written as JSON; anything else is the text itself.

    Numbers and booleans stay text too, for a field knows which it wants and a provider code may consist of digits; in
    the options of parts, whose fields are not known here, they are JSON.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if value is None:
        return EnvNoneType("null")
    return text if isinstance(value, int | float) and not name.startswith(f"parts{_NESTING}") else value


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for name, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = dict(value) if isinstance(value, Mapping) else value
