"""The replay engine: one event loop owns all state, so there are no locks.

Every callback carries the generation that it belongs to; when that is not its instance's current
one any more, the callback is dropped.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping

from devhost import protocol, turn
from devhost.activities import Activities, RunActivity
from devhost.alarms import Alarms, Clock, utc_now
from devhost.errors import (
    AlreadyRunningError,
    FinishedInstanceError,
    UnknownInstanceError,
    UnknownOrchestratorError,
)
from devhost.generation import Generation
from devhost.journal import Journal
from devhost.protocol import Decision, Handle
from devhost.records import FinalStatus, Finished, Message, Parent, Start, Suspension, Task

log = logging.getLogger("devhost.engine")


class Engine:
    """Runs orchestrations over the journal."""

    def __init__(
        self,
        orchestrators: Mapping[str, Handle],
        run_activity: RunActivity,
        journal: Journal,
        *,
        clock: Clock = utc_now,
        time_scale: float = 1.0,
        default_version: str | None = None,
    ) -> None:
        self.instances: dict[str, Generation] = {}
        self.journal = journal
        self._orchestrators = orchestrators
        self.activities = Activities(run_activity, self._complete, self._fail)
        self._clock = clock
        self._alarms = Alarms(clock, time_scale, self._fire)
        self._default_version = default_version
        self._stopping = False

    def recover(self) -> None:
        """Stand where the killed process stood and go on."""
        for finished in self.journal.finished():
            self.instances[finished.start.instance] = Generation.of(finished)
        running: dict[str, Generation] = {}
        for instance, record in self.journal.running():
            if isinstance(record, Start):
                running[instance] = Generation(record)
            else:
                running[instance].apply(record)
        self.instances |= running
        for generation in running.values():
            self._resume(generation)

    def start(
        self,
        name: str,
        text: str | None = None,
        instance: str | None = None,
        version: str | None = None,
    ) -> str:
        """Start an instance; a finished one of the same id is replaced.

        Raises:
            UnknownOrchestratorError: No orchestrator has this name.
            AlreadyRunningError: An instance of this id has not finished.
        """
        self._check_orchestrator(name)
        instance = instance or uuid.uuid4().hex
        existing = self.instances.get(instance)
        if existing and not existing.finished:
            raise AlreadyRunningError(
                f"An Orchestration instance with the status {existing.status} already exists."
            )
        self._begin(self._start_record(name, text, instance, version))
        return instance

    def raise_event(self, instance: str, name: str, value: str) -> None:
        """Send an external event; it is kept when nobody waits for it yet."""
        generation = self.running(instance)
        text = protocol.event_raised(name, self._now(), value)
        self._deliver(generation, Message(text, name=name))

    def terminate(self, instance: str, reason: str) -> None:
        """End an instance at once; its sub-orchestrations go on, as on the real host."""
        self._finish(self.running(instance), "Terminated", json.dumps(reason))

    def suspend(self, instance: str, *, suspended: bool) -> None:
        """Suspend or resume an instance; what arrives meanwhile is kept."""
        generation = self.running(instance)
        record = Suspension(suspended)
        self.journal.append(instance, record)
        generation.apply(record)
        self._queue(generation)

    def restart(self, instance: str, *, new_id: bool) -> str:
        """Start an instance again with its own input."""
        start = self.known(instance).start
        return self.start(start.name, start.input, None if new_id else instance)

    def purge(self, instance: str) -> bool:
        """Forget a finished instance; a running one is left alone."""
        generation = self.instances.get(instance)
        if not generation or not generation.finished:
            return False
        del self.instances[instance]
        self.journal.purge(instance)
        return True

    def known(self, instance: str) -> Generation:
        """Find an instance.

        Raises:
            UnknownInstanceError: No instance has this id.
        """
        generation = self.instances.get(instance)
        if not generation:
            raise UnknownInstanceError(f"No instance with ID '{instance}' found.")
        return generation

    def running(self, instance: str) -> Generation:
        """Find an instance that has not finished.

        Raises:
            FinishedInstanceError: The instance has finished.
        """
        generation = self.known(instance)
        if generation.finished:
            raise FinishedInstanceError(f"The instance '{instance}' has finished.")
        return generation

    async def stop(self, grace: float) -> bool:
        """Start nothing new and wait for running activities; say whether all have ended."""
        self._stopping = True
        ended = await self.activities.ended(grace)
        for generation in self.instances.values():
            generation.cancel_timers()
        return ended

    def _now(self) -> str:
        return protocol.stamp(self._clock())

    def _check_orchestrator(self, name: str) -> None:
        if name not in self._orchestrators:
            known = ", ".join(f"'{each}'" for each in sorted(self._orchestrators))
            raise UnknownOrchestratorError(
                f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator "
                "function. Additional info: The following are the known orchestrator functions: "
                f"{known}."
            )

    def _start_record(
        self, name: str, text: str | None, instance: str, version: str | None
    ) -> Start:
        version = version or self._default_version
        return Start(instance, uuid.uuid4().hex, name, self._now(), text, version)

    def _begin(self, start: Start) -> None:
        replaced = self.instances.get(start.instance)
        if replaced:
            replaced.cancel_timers()
        generation = self.instances[start.instance] = Generation(start)
        self.journal.begin(start)
        self._queue(generation)

    def _is_current(self, generation: Generation) -> bool:
        current = self.instances.get(generation.instance) is generation
        return current and not generation.finished

    def _queue(self, generation: Generation) -> None:
        if generation.has_work and not generation.queued:
            generation.queued = True
            asyncio.get_running_loop().call_soon(self._turn, generation)

    def _turn(self, generation: Generation) -> None:
        generation.queued = False
        if not (self._is_current(generation) and generation.has_work) or self._stopping:
            return
        taken = turn.take(generation, self._handle(generation), self._clock(), self._alarms.due)
        generation.apply(taken.episode)
        for task_id in taken.episode.cancelled:
            self._alarms.cancel(generation, task_id)
        if taken.decision.done or taken.decision.error:
            self._end(generation, taken.decision)
        else:
            self._go_on(generation, taken)

    def _go_on(self, generation: Generation, taken: turn.Turn) -> None:
        self.journal.append(generation.instance, taken.episode)
        for task in taken.episode.tasks:
            self._launch(generation, task)
        self._queue(generation)

    def _handle(self, generation: Generation) -> Handle:
        name = generation.start.name

        def missing(_: object) -> str:
            raise UnknownOrchestratorError(f"The orchestrator function '{name}' doesn't exist.")

        return self._orchestrators.get(name, missing)

    def _end(self, generation: Generation, decision: Decision) -> None:
        again = decision.continue_as_new
        if decision.error:
            reason = f"Orchestrator function '{generation.start.name}' failed: {decision.error}"
            log.error("instance %s: %s", generation.instance, reason)
            self._finish(generation, "Failed", json.dumps(reason))
        elif again:
            self._continue_as_new(generation, again.get("input"))
        else:
            self._finish(generation, "Completed", decision.output)

    def _continue_as_new(self, generation: Generation, text: str | None) -> None:
        old = generation.start
        start = self._start_record(old.name, text, old.instance, old.version)
        # The orchestrator's clock must not go back, also where timers are compressed.
        start.created = max(start.created, generation.clock)
        start.parent, start.carried = old.parent, generation.unread()
        self._begin(start)

    def _finish(self, generation: Generation, status: FinalStatus, output: str) -> None:
        history, parent = generation.history, generation.start.parent
        finished = Finished(generation.start, status, output, self._now(), generation.custom_status)
        self.journal.finish(finished, history)
        generation.end(finished)
        if parent:
            self._tell_parent(parent, finished)

    def _tell_parent(self, parent: Parent, finished: Finished) -> None:
        waiting = self.instances.get(parent.instance)
        if not waiting or waiting.start.execution != parent.execution:
            return
        task = waiting.open.get(parent.task)
        if not task:
            return
        if finished.status == "Completed":
            self._complete(waiting, task, finished.output)
        else:
            self._fail(waiting, task, str(json.loads(finished.output)), "")

    def _complete(self, generation: Generation, task: Task, result: str) -> None:
        text = protocol.task_completed(task, self._now(), result)
        self._deliver(generation, Message(text, task.id))

    def _fail(self, generation: Generation, task: Task, reason: str, details: str) -> None:
        text = protocol.task_failed(task, self._now(), reason, details)
        self._deliver(generation, Message(text, task.id, failed=True))

    def _deliver(self, generation: Generation, message: Message) -> None:
        if self._is_current(generation):
            self.journal.append(generation.instance, message)
            generation.apply(message)
            self._queue(generation)

    def _resume(self, generation: Generation) -> None:
        """Launch again what had not ended; sub-orchestrations go on by themselves."""
        ended = {message.task for message in generation.inbox}
        for task in generation.open.values():
            if task.id not in ended and task.kind != "orchestration":
                self._launch(generation, task)
        self._queue(generation)

    def _launch(self, generation: Generation, task: Task) -> None:
        if task.kind == "timer":
            self._alarms.arm(generation, task)
        elif task.kind == "orchestration":
            self._begin_child(generation, task)
        else:
            self.journal.after_commit(lambda: self._start_activity(generation, task))

    def _begin_child(self, generation: Generation, task: Task) -> None:
        try:
            self._check_orchestrator(task.name)
        except UnknownOrchestratorError as error:
            self._fail(generation, task, str(error), "")
            return
        start = self._start_record(task.name, task.input, task.child, task.version)
        start.parent = Parent(generation.instance, generation.start.execution, task.id)
        self._begin(start)

    def _fire(self, generation: Generation, task: Task) -> None:
        text = protocol.timer_fired(task, self._now())
        self._deliver(generation, Message(text, task.id, fired=task.fire_at))

    def _start_activity(self, generation: Generation, task: Task) -> None:
        if self._is_current(generation) and not self._stopping:
            self.activities.start(generation, task)
