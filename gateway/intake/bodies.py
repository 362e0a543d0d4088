"""Reads a request's body into memory, within bounds: bytes, seconds, JSON values, form parts. Nothing of it touches a
disk, and nothing is decompressed."""

import asyncio
import json
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from gateway.errors import BadRequest, BodyTimedOut, BodyTooLarge, ServerBusy

MOST_VALUES: Final = 1000
"""Values in one JSON body. The largest request there is, 32 images to moderate, has under 200; every value can become
a validation error, so this also bounds those."""

_MOST_DEPTH: Final = 16
_MOST_MARKS: Final = 100_000  # commas, colons and brackets, also those in texts: bounds the parser's work
_MOST_FILES: Final = 32
_MOST_FIELDS: Final = 64
_MOST_FIELD_BYTES: Final = 64 * 1024
_MOST_PART_HEADER_BYTES: Final = 8 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # anything else is content, and not echoed


class BodyMemory:
    """Bytes that bodies may hold at once, together. Counted as they arrive: a declared length reserves nothing."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def take(self, count: int) -> None:
        """Raises `ServerBusy` if that many are not left."""
        if count > self._left:
            raise ServerBusy
        self._left -= count

    def give(self, count: int) -> None:
        """What was taken, back."""
        self._left += count


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """`max_bytes`: of the body. `seconds`: for all of it to arrive."""

    max_bytes: int
    seconds: float
    memory: BodyMemory


class TooManyFiles(BadRequest):
    """A form with more files than may be in it; the rest of it was not read."""


class BoundedRequest(Request):
    """A request whose body is read within `bounds`, and only when somebody asks for it. Close it.

    Reading raises `BodyTooLarge`, `BodyTimedOut` or `ServerBusy`; `json` and `form` raise `BadRequest` besides, and
    `json` raises `JSONDecodeError`.
    """

    def __init__(self, scope: Scope, receive: Receive, bounds: BodyBounds) -> None:
        super().__init__(scope, self._bounded(receive))
        self._bounds = bounds
        self._taken = 0
        self._decoded: Any = _UNREAD
        self._fields: FormData | None = None

    def _bounded(self, receive: Receive) -> Receive:
        deadline: float | None = None
        complete = False

        async def bounded() -> Message:
            nonlocal deadline, complete
            if complete:
                return await receive()
            deadline = deadline or asyncio.get_running_loop().time() + self._bounds.seconds
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise BodyTimedOut from None
            count = len(message.get("body", b""))
            if self._taken + count > self._bounds.max_bytes:
                raise BodyTooLarge(self._bounds.max_bytes)
            self._bounds.memory.take(count)
            self._taken += count
            complete = not message.get("more_body", False)
            return message

        return bounded

    async def json(self) -> Any:
        """The body as JSON of few values, without depth, with every name once."""
        if self._decoded is _UNREAD:
            self._decoded = decode_json(await self.body())
        return self._decoded

    def form(self, *, max_files: float = _MOST_FILES, max_fields: float = _MOST_FIELDS, **_: Any) -> Any:
        """The body as a form of few parts; files stay in memory. To be awaited, or entered."""
        return _Form(lambda: self._read_form(min(max_files, _MOST_FILES), min(max_fields, _MOST_FIELDS)))

    async def _read_form(self, max_files: float, max_fields: float) -> FormData:
        if self._fields is None:
            kind = parse_options_header(self.headers.get("Content-Type"))[0]
            few: dict[str, Any] = {"max_fields": max_fields, "max_part_size": _MOST_FIELD_BYTES}
            try:
                if kind == b"multipart/form-data":
                    self._fields = await _InMemory(self.headers, self.stream(), max_files=max_files, **few).parse()
                elif kind == b"application/x-www-form-urlencoded":
                    self._fields = await FormParser(self.headers, self.stream(), **few).parse()
                else:
                    self._fields = FormData()
            except MultiPartException as failure:
                kind_of = TooManyFiles if failure.message.startswith("Too many files") else BadRequest
                raise kind_of("body", "is a form that cannot be read", _FORM_REMEDY) from failure
        return self._fields

    async def close(self) -> None:
        """Gives the memory back."""
        if self._fields is not None:
            await self._fields.close()
        self._bounds.memory.give(self._taken)
        self._taken = 0


_UNREAD: Final = object()
_FORM_REMEDY: Final = f"Send multipart/form-data with at most {_MOST_FILES} files and {_MOST_FIELDS} fields"


def decode_json(data: bytes) -> Any:
    """Raises `BadRequest`, or `JSONDecodeError` for what is no JSON."""
    if sum(map(data.count, (b",", b":", b"[", b"{"))) > _MOST_MARKS:
        raise _too_much()
    try:
        decoded = json.loads(data, object_pairs_hook=_once)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise _too_much() from None
    except ValueError as failure:  # text in no encoding, or a number with more digits than Python reads
        raise BadRequest(
            "body", "holds text or a number that cannot be read", "Send UTF-8 and usual numbers"
        ) from failure
    _count(decoded)
    return decoded


def _too_much() -> BadRequest:
    return BadRequest("body", f"holds more than {MOST_VALUES} values", "Send one of the documented requests")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values under one name, readers take different ones: a filter in front of us might have read the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        field = name if _NAME.fullmatch(name) else "body"
        raise BadRequest(field, "is there more than once", "Send every field once")
    return found


def _count(decoded: Any) -> None:
    """Raises `BadRequest` for too many values, or too deep ones."""
    level, values = [decoded], 1
    for _ in range(_MOST_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict | list):
                values += len(value)
                if values > MOST_VALUES:
                    raise _too_much()
                inner.extend(value.values() if isinstance(value, dict) else value)
        if not inner:
            return
        level = inner
    raise BadRequest("body", "is nested too deeply", "Send one of the documented requests")


class _InMemory(MultiPartParser):
    """Starlette's parser, but no file is ever written to a disk, and the headers of a part are few."""

    spool_max_size = 2**62

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._header_bytes = 0

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        super().on_header_field(data, start, end)

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        super().on_header_value(data, start, end)

    def _count_header(self, count: int) -> None:
        self._header_bytes += count + 1
        if self._header_bytes > _MOST_PART_HEADER_BYTES:
            raise MultiPartException("The headers of a part are too large.")


class _Form:
    """A form to await, or to use in `async with`, as Starlette's `request.form()` is."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read

    def __await__(self) -> Generator[Any, None, FormData]:
        form: FormData = yield from self._read().__await__()
        return form

    async def __aenter__(self) -> FormData:
        return await self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await (await self).close()
