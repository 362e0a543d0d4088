"""As much of json-formula (Adobe; JMESPath's projections, own literals and functions) as the C2PA rubrics use.

"text" is a string, 'name' a field, `json` a literal, $name a global, _name(…) another expression with its $args.
Null has no fields and no elements; projections drop nulls; a pipe ends a projection.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Node = Callable[[Any, Mapping[str, Any]], Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<json>`[^`]*`)|(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<name>'[^']*'|[A-Za-z_$][A-Za-z0-9_$]*)"
    r"|(?P<number>\d+(?:\.\d+)?)|(?P<sign>\|\||&&|==|!=|<=|>=|\[\?|\[\]|[|!<>@.,:*+\-/()\[\]{}]))"
)
_POWERS = {"|": 1, "||": 2, "&&": 3, "==": 5, "!=": 5, "<": 5, ">": 5, "<=": 5, ">=": 5, "+": 6, "-": 6, "*": 7, "/": 7}
_PROJECTION_ENDS = 10
_POSTFIX = {".": 40, "[": 50, "[?": 50, "[]": 9}


class Formulas:
    """`globals`: values of `$name`. `expressions`: sources of `_name`."""

    def __init__(self, global_values: Mapping[str, Any], expressions: Mapping[str, str]) -> None:
        self._globals = dict(global_values)
        self._expressions = {name: _Parser(text, self).whole() for name, text in expressions.items()}

    def evaluate(self, text: str, document: Any) -> Any:
        """The value of an expression over a document."""
        return _Parser(text, self).whole()(document, self._globals | {"$": document})

    def call(self, name: str, arguments: list[Any], scope: Mapping[str, Any]) -> Any:
        if name in self._expressions:
            return self._expressions[name](scope["$"], {**scope, "$args": arguments})
        return _FUNCTIONS[name](*arguments)


class _Parser:
    """Pratt's: each operator binds as strongly as its power says."""

    def __init__(self, text: str, formulas: Formulas) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                raise ValueError(f"cannot read {text[position : position + 30]!r}")
            self._tokens.append((str(found.lastgroup), found.group(str(found.lastgroup))))
            position = found.end()
        self._at, self._formulas = 0, formulas

    def whole(self) -> Node:
        node = self._expression(0)
        if self._at != len(self._tokens):
            raise ValueError(f"left over: {self._tokens[self._at :]}")
        return node

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, wanted: str | None = None) -> tuple[str, str]:
        token = self._tokens[self._at]
        if wanted is not None and token[1] != wanted:
            raise ValueError(f"wanted {wanted}, found {token[1]}")
        self._at += 1
        return token

    def _expression(self, power: int) -> Node:
        left = self._operand()
        while self._at < len(self._tokens) and self._tokens[self._at][0] == "sign":
            sign = self._peek()
            if sign in _POWERS and _POWERS[sign] > power:
                self._take()
                left = _binary(sign, left, self._expression(_POWERS[sign]))
            elif sign in _POSTFIX and _POSTFIX[sign] > power:
                left = self._postfix(left)
            else:
                break
        return left

    def _operand(self) -> Node:
        kind, said = self._take()
        if kind == "json":
            literal = json.loads(said[1:-1])
            return lambda _here, _scope: literal
        if kind == "text":
            text = json.loads(said)
            return lambda _here, _scope: text
        if kind == "number":
            number = float(said)
            return lambda _here, _scope: number
        if kind == "name":
            return self._named(said)
        match said:
            case "@":
                return lambda here, _scope: here
            case "!":
                inner = self._expression(45)
                return lambda here, scope: not _true(inner(here, scope))
            case "(":
                inner = self._expression(0)
                self._take(")")
                return inner
            case "[" if self._tokens[self._at][0] != "number":
                parts = self._list("]")
                return lambda here, scope: [part(here, scope) for part in parts]
            case "[" | "[]" | "[?":  # of what stands before the pipe
                self._at -= 1
                return self._postfix(lambda here, _scope: here)
            case "{":
                return self._object()
        raise ValueError(f"unexpected {said}")

    def _named(self, said: str) -> Node:
        if self._peek() == "(" and not said.startswith("'"):
            self._take("(")
            arguments, formulas = self._list(")"), self._formulas
            if said == "if":
                test, yes, no = arguments
                return lambda here, scope: (yes if _true(test(here, scope)) else no)(here, scope)
            return lambda here, scope: formulas.call(said, [part(here, scope) for part in arguments], scope)
        if said.startswith("$"):
            return lambda _here, scope: scope[said]
        field = said.strip("'")
        return lambda here, _scope: here.get(field) if isinstance(here, dict) else None

    def _list(self, end: str) -> list[Node]:
        parts: list[Node] = []
        while self._peek() != end:
            parts.append(self._expression(0))
            if self._peek() == ",":
                self._take()
        self._take(end)
        return parts

    def _object(self) -> Node:
        fields: dict[str, Node] = {}
        while self._peek() != "}":
            name = self._take()[1].strip("'\"")
            self._take(":")
            fields[name] = self._expression(0)
            if self._peek() == ",":
                self._take()
        self._take("}")
        return lambda here, scope: {name: part(here, scope) for name, part in fields.items()}

    def _postfix(self, left: Node) -> Node:
        match self._take()[1]:
            case ".":
                right = self._expression(40)
                return lambda here, scope: None if (value := left(here, scope)) is None else right(value, scope)
            case "[":
                index = int(self._take()[1])
                self._take("]")
                return lambda here, scope: _element(left(here, scope), index)
            case "[?":
                test = self._expression(0)
                self._take("]")
                kept: Node = lambda here, scope: [  # noqa: E731
                    each for each in _elements(left(here, scope)) if _true(test(each, scope))
                ]
                return _projected(kept, self._rest())
            case _:
                return self._postfix_flatten(left)

    def _postfix_flatten(self, left: Node) -> Node:
        flat: Node = lambda here, scope: [  # noqa: E731
            part for each in _elements(left(here, scope)) for part in (each if isinstance(each, list) else [each])
        ]
        return _projected(flat, self._rest())

    def _rest(self) -> Node | None:
        """What is applied to each element of a projection: field, filter and index, up to the next weaker operator."""
        here: Node = lambda each, _scope: each  # noqa: E731
        node, began = here, self._at
        while self._at < len(self._tokens) and _POSTFIX.get(self._peek(), 0) > _PROJECTION_ENDS:
            node = self._postfix(node)
        return node if self._at > began else None


def _projected(values: Node, rest: Node | None) -> Node:
    if rest is None:
        return values
    return lambda here, scope: [result for each in values(here, scope) if (result := rest(each, scope)) is not None]


def _binary(sign: str, left: Node, right: Node) -> Node:
    if sign == "|":
        return lambda here, scope: right(left(here, scope), scope)
    if sign == "||":
        return lambda here, scope: value if _true(value := left(here, scope)) else right(here, scope)
    if sign == "&&":
        return lambda here, scope: right(here, scope) if _true(value := left(here, scope)) else value
    work = _OPERATIONS[sign]
    return lambda here, scope: work(left(here, scope), right(here, scope))


def _true(value: Any) -> bool:
    return value is not None and value is not False and value not in ("", [], {})


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _element(value: Any, index: int) -> Any:
    return value[index] if isinstance(value, list) and -len(value) <= index < len(value) else None


def _number(value: Any) -> float:
    return float(value) if value is not None else 0.0


def _ordered(one: Any, other: Any) -> bool:
    return type(one) is type(other) or (isinstance(one, int | float) and isinstance(other, int | float))


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: _ordered(one, other) and one < other,
    ">": lambda one, other: _ordered(one, other) and one > other,
    "<=": lambda one, other: _ordered(one, other) and one <= other,
    ">=": lambda one, other: _ordered(one, other) and one >= other,
    "+": lambda one, other: _number(one) + _number(other),
    "-": lambda one, other: _number(one) - _number(other),
    "*": lambda one, other: _number(one) * _number(other),
    "/": lambda one, other: _number(one) / _number(other),
}

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "keys": lambda value: list(value or {}),
    "values": lambda value: list((value or {}).values()),
    "split": lambda text, by: (text or "").split(by),
    "startsWith": lambda text, start: (text or "").startswith(start),
    "endsWith": lambda text, end: (text or "").endswith(end),
    "contains": lambda whole, part: part in (whole or []),
    "length": lambda value: len(value or []),
    "notNull": lambda *values: next((value for value in values if value is not None), None),
    "type": lambda value: {str: "string", dict: "object", list: "array", type(None): "null"}.get(type(value), "number"),
}
