"""What people see: lines that stay, and below them a progress line where there is a terminal."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.status import Status
from rich.text import Text

from devstack.client import Json

_ACTION_WIDTH = 28
_NARROW = 44  # columns; with fewer for what happened, it gets lines of its own: an id takes 36
_INDENT = 6
_GOOD, _BAD = ("Succeeded", "Healed"), ("Failed", "Escalated", "Refused", "Max Retries")


class View:
    """Writes to a console; without a terminal it writes plain lines only."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._status: Status | None = None
        self._last = ""

    def say(self, text: str = "", style: str = "") -> None:
        """A line, never wrapped, so that it can be copied."""
        line = Text(text, style=style)
        self._console.print(line, soft_wrap=True)

    def entry(self, entry: Json, since: datetime) -> None:
        """One entry of a timeline: clock time, seconds since the alert, what happened."""
        at = datetime.fromisoformat(str(entry["at"]))
        after = max((at - since).total_seconds(), 0)
        cells = (f"{at.astimezone():%H:%M:%S}", f"+{after:.1f} s", str(entry["action"]))
        summary = str(entry.get("summary", ""))
        if not self._console.is_terminal:
            self.say(f"  {cells[0]}  {cells[1]:>8}  {cells[2]:<{_ACTION_WIDTH}}  {summary}")
            return
        head = f"{cells[0]:>10}  {cells[1]:>9}  {cells[2]:<{_ACTION_WIDTH}}"
        for line in _lines(head, _style(cells[2]), summary, self._console.width):
            self._console.print(line, soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show what is waited for while the context lasts."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status("") as self._status:
            yield
        self._status = None

    def waiting(self, what: str, seconds: float) -> None:
        """Say what is waited for; without a terminal once only."""
        if self._status is not None:
            self._status.update(Text(f"{what}  ({seconds:.0f} s)", style="cyan"))
        elif what != self._last:
            self.say(f"  ... {what}")
        self._last = what


def _lines(head: str, style: str, summary: str, width: int) -> list[Text]:
    """An entry in lines of at most `width` columns; no word, and so no id, is ever cut."""
    times, action = head[:-_ACTION_WIDTH], head[-_ACTION_WIDTH:]
    first = Text.assemble((times, "dim"), (action, style))
    room = width - len(head) - 2
    if room >= _NARROW:
        wrapped = _wrapped(summary, room)
        first.append(f"  {wrapped[0]}")
        return [first, *(Text(" " * (len(head) + 2) + line) for line in wrapped[1:])]
    first.rstrip()
    return [first, *(Text(" " * _INDENT + line) for line in _wrapped(summary, width - _INDENT))]


def _wrapped(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False)
    return lines or [""]


def _style(action: str) -> str:
    if any(word in action for word in _BAD):
        return "bold red"
    return "bold green" if any(word in action for word in _GOOD) else "bold"
