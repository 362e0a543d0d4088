"""What the bodies of all dialects have in common: null leaves a field out, and so does an empty text; a number is no
text and no truth value, but 2.0 is a whole number, as JSON Schema has it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

_NOT_WHEN_EMPTY = frozenset({"model"})
"""An empty name is no name: whoever sends one hears so, and does not get another model's image."""


def _null_is_allowed(schema: dict[str, Any]) -> None:
    """Says in the JSON schema what `_absent` does: every optional field may be null, an unknown one only null."""
    schema["additionalProperties"] = {"type": "null"}
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        if name in required or {"type": "null"} in field.get("anyOf", ()):
            continue
        told = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
        schema["properties"][name] = {"anyOf": [field, {"type": "null"}], **told}


class WireBody(BaseModel):
    """A JSON object or form from a caller. Unknown fields are refused, unless they are null."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_null_is_allowed)

    @model_validator(mode="before")
    @classmethod
    def _without_the_absent(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        return {name: _whole(value) for name, value in sent.items() if not _absent(cls, name, value)}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _absent(body: type[WireBody], name: Any, value: Any) -> bool:
    if value is None:
        return True
    field = body.model_fields.get(name) if value == "" else None
    return field is not None and not field.is_required() and name not in _NOT_WHEN_EMPTY
