"""What people see: lines that stay, and below them a progress line where there is a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from devstack.client import Json

_ACTION_WIDTH = 28
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
        self._console.print(_row(*cells, summary))

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


def _row(time: str, after: str, action: str, summary: str) -> Table:
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=10, justify="right")
    row.add_column(width=9, justify="right", style="dim")
    row.add_column(width=_ACTION_WIDTH, style=_style(action))
    row.add_column(ratio=1)
    row.add_row(*(Text(cell) for cell in (time, after, action, summary)))
    return row


def _style(action: str) -> str:
    if any(word in action for word in _BAD):
        return "bold red"
    return "bold green" if any(word in action for word in _GOOD) else "bold"
