"""Runs activities beside the engine and tells it how they ended."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable

from devhost.generation import Generation
from devhost.records import Task

log = logging.getLogger("devhost.activities")

RunActivity = Callable[[str, str | None], Awaitable[str]]
Complete = Callable[[Generation, Task, str], None]
Fail = Callable[[Generation, Task, str, str], None]


class Activities:
    """The activities that run now."""

    def __init__(self, run: RunActivity, complete: Complete, fail: Fail) -> None:
        self.running: set[asyncio.Task[None]] = set()
        self._run = run
        self._complete = complete
        self._fail = fail

    def start(self, generation: Generation, task: Task) -> None:
        """Run an activity beside the engine."""
        running = asyncio.get_running_loop().create_task(self._follow(generation, task))
        self.running.add(running)
        running.add_done_callback(self.running.discard)

    async def ended(self, grace: float) -> bool:
        """Wait for what runs; say whether all of it ended within the grace time."""
        pending = set(self.running)
        if pending:
            _, pending = await asyncio.wait(pending, timeout=grace)
        return not pending

    async def _follow(self, generation: Generation, task: Task) -> None:
        try:
            result = await self._run(task.name, task.input)
        except Exception as error:
            log.warning("activity '%s' of %s failed", task.name, generation.instance, exc_info=True)
            reason = f"Activity function '{task.name}' failed: {type(error).__name__}: {error}"
            self._fail(generation, task, reason, traceback.format_exc())
        else:
            self._complete(generation, task, result)
