"""Everything that reached the server, for tests to assert on."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.wire import Json


@dataclass
class Entry:
    """One request and what came of it."""

    n: int
    at: str
    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    status: int | None = None
    effect: bool = False
    fault: str | None = None


class RequestLog:
    """An ordered list of requests; numbers go on when it is cleared."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._count = 0

    def open(self, at: str, method: str, path: str, query: dict[str, list[str]]) -> Entry:
        """Note that a request arrived; its outcome is filled in later."""
        self._count += 1
        entry = Entry(self._count, at, method, path, query, None)
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        """Forget the entries."""
        self._entries.clear()

    def select(self, method: str | None, path: str | None, since: int) -> list[Json]:
        """Return the entries after number `since` that match."""
        pattern = re.compile(path or "")
        return [
            asdict(entry)
            for entry in self._entries
            if entry.n > since
            and (method is None or entry.method == method.upper())
            and pattern.search(entry.path)
        ]
