"""Timer-triggered functions."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

from azure.functions.timer import TimerRequest
from croniter import croniter

from devhost.loader import Function
from devhost.settings import SettingsError, disabled, expand

log = logging.getLogger("devhost.timers")

Run = Callable[[Function, TimerRequest], Awaitable[object]]
# Seconds come first: {second} {minute} {hour} {day} {month} {day of week}.
FIELDS = 6


def schedule(function: Function) -> str:
    """Give a timer function's schedule.

    Raises:
        SettingsError: It is no NCRONTAB expression with six fields.
    """
    expression = expand(str(function.properties["schedule"])).strip()
    valid = len(expression.split()) == FIELDS and croniter.is_valid(
        expression, second_at_beginning=True
    )
    if not valid:
        raise SettingsError(f"function '{function.name}' has an invalid schedule: '{expression}'")
    return expression


def following(expression: str, now: datetime) -> datetime:
    """Give the schedule's next time."""
    found: datetime = croniter(expression, now, second_at_beginning=True).get_next(datetime)
    return found


def request(*, past_due: bool = False, last: datetime | None = None) -> TimerRequest:
    """Build what a timer function is called with."""
    printed = (last or datetime.now(UTC)).isoformat()
    status = {"Last": printed, "Next": None, "LastUpdated": printed}
    return TimerRequest(past_due=past_due, schedule_status=status, schedule={"AdjustForDST": True})


class Timers:
    """Runs timer functions by their schedules, one call of each at a time."""

    def __init__(self, functions: Iterable[Function], run: Run) -> None:
        self._schedules = {each.name: (each, schedule(each)) for each in functions}
        self._run = run
        self._tasks: set[asyncio.Task[object]] = set()
        self._calls: set[asyncio.Future[object]] = set()

    def start(self) -> None:
        """Begin to follow the schedules."""
        for function, expression in self._schedules.values():
            if not disabled(function.name):
                self._spawn(self._follow(function, expression))

    def trigger(self, name: str) -> bool:
        """Run a timer function by hand; False when there is none of this name."""
        entry = self._schedules.get(name)
        if entry:
            self._spawn(self._call(entry[0]))
        return entry is not None

    async def stop(self, grace: float) -> None:
        """Stop following the schedules; what runs may end within the grace time."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=grace)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Awaitable[object]) -> None:
        task: asyncio.Task[object] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, function: Function, expression: str) -> None:
        if function.properties.get("runOnStartup"):
            await self._call(function)
        last = datetime.now(UTC)
        while True:
            now = datetime.now(UTC)
            # A sleep may end a little early: the same time must not come twice.
            last = following(expression, max(now, last))
            await asyncio.sleep((last - now).total_seconds())
            await self._call(function)

    async def _call(self, function: Function) -> None:
        call: asyncio.Future[object] = asyncio.ensure_future(self._run(function, request()))
        self._calls.add(call)
        try:
            await call
        except Exception:
            log.exception("timer function '%s' failed", function.name)
        finally:
            self._calls.discard(call)
