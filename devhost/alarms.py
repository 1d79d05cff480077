"""Durable timers on the event loop, really cancelled and compressed where that is asked for."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from devhost import protocol
from devhost.generation import Generation
from devhost.records import Task

Clock = Callable[[], datetime]
Fire = Callable[[Generation, Task], None]


def utc_now() -> datetime:
    """Give the wall clock's time."""
    return datetime.now(UTC)


class Alarms:
    """Calls back when a timer's time has come on the wall clock."""

    def __init__(self, clock: Clock, time_scale: float, fire: Fire) -> None:
        self._clock = clock
        self._time_scale = time_scale
        self._fire = fire

    def due(self, at: str, fire_at: str) -> float:
        """Give the wall clock's second for a timer made at the orchestrator's time `at`."""
        delay = (protocol.moment(fire_at) - protocol.moment(at)).total_seconds()
        return self._clock().timestamp() + max(0.0, delay) / self._time_scale

    def arm(self, generation: Generation, task: Task) -> None:
        """Wait for a timer; one that was due while no host ran fires at once."""
        delay = max(0.0, task.due - self._clock().timestamp())
        loop = asyncio.get_running_loop()
        generation.timers[task.id] = loop.call_later(delay, self._ring, generation, task)

    def cancel(self, generation: Generation, task_id: int) -> None:
        """Cancel a timer; its callback never comes."""
        handle = generation.timers.pop(task_id, None)
        if handle:
            handle.cancel()

    def _ring(self, generation: Generation, task: Task) -> None:
        generation.timers.pop(task.id, None)
        self._fire(generation, task)
