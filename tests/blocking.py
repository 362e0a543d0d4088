"""Notices what blocks an event loop: database statements, files, sockets, sleeping and waiting on a loop's thread."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

_EVENTS = frozenset(
    {
        "open",
        "os.listdir",
        "os.scandir",
        "os.mkdir",
        "os.rename",
        "os.remove",
        "os.truncate",
        "shutil.copyfile",
        "shutil.rmtree",
        "sqlite3.connect",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
    }
)
_EXCUSED = ("importlib", "linecache.py", "/httpx/")
"""The first use of a module; a source line for an exception's text; the client of these tests."""
_found: list[str] | None = None
_is_hooked = False


def _note(what: str) -> None:
    if _found is None or asyncio._get_running_loop() is None:
        return
    frame, stack = sys._getframe(2), []
    while frame is not None:
        code = frame.f_code
        if any(each in code.co_filename for each in _EXCUSED):
            return
        stack.append(f"{'/'.join(code.co_filename.rsplit('/', 2)[-2:])}:{frame.f_lineno}")
        frame = frame.f_back
    _found.append(f"{what} in {' < '.join(stack[:12])}")


def _audited(name: str, arguments: tuple[Any, ...]) -> None:
    if _found is None or name not in _EVENTS:
        return
    if name == "socket.connect" and arguments[0].gettimeout() == 0:  # asyncio's own, which does not wait
        return
    _note(name)


def _statement(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    _note(f"statement {statement[:30]!r}")


@contextmanager
def noticed() -> Iterator[list[str]]:
    """The list fills with whatever blocks a loop's thread inside the block."""
    global _found, _is_hooked
    if not _is_hooked:  # there is no way to remove an audit hook
        sys.addaudithook(_audited)
        _is_hooked = True
    wait, join, sleep = threading.Condition.wait, threading.Thread.join, time.sleep

    def waited(self: threading.Condition, timeout: float | None = None) -> bool:
        starting = sys._getframe(2).f_code is threading.Thread.start.__code__  # until a new thread runs
        if timeout != 0 and not starting:
            _note("waiting for another thread")
        return wait(self, timeout)

    def joined(self: threading.Thread, timeout: float | None = None) -> None:
        _note("joining a thread")
        join(self, timeout)

    def slept(seconds: float) -> None:
        _note("sleeping")
        sleep(seconds)

    event.listen(Engine, "before_cursor_execute", _statement)
    threading.Condition.wait, threading.Thread.join, time.sleep = waited, joined, slept  # type: ignore[method-assign]
    _found = found = []
    try:
        yield found
    finally:
        _found = None
        threading.Condition.wait, threading.Thread.join, time.sleep = wait, join, sleep  # type: ignore[method-assign]
        event.remove(Engine, "before_cursor_execute", _statement)
