"""`/docs`: the API for people, made from its own OpenAPI description. Nothing is loaded from anybody else's server."""

from pathlib import Path
from typing import Any, Final

import jinja2
import orjson

PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Of a page without scripts, whose style sheet stands in it: nothing that got into it can run or call anywhere."""

_TEMPLATE = Path(__file__).with_name("api_page.html.jinja")


def api_page(description: dict[str, Any]) -> str:
    """One self-contained page. `description`: the OpenAPI document."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation.get("tags", ["other"])[0], []).append(
                {
                    "method": method.upper(),
                    "path": path,
                    "summary": operation.get("summary", ""),
                    "examples": _examples(operation),
                }
            )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    return template.render(info=description["info"], groups=groups)


def _examples(operation: dict[str, Any]) -> list[tuple[str, str]]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return [
        (name, orjson.dumps(example["value"], option=orjson.OPT_INDENT_2).decode())
        for name, example in body.get("examples", {}).items()
    ]
