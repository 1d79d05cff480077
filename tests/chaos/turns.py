"""Writers that take turns: each call to storage waits until a scheduler lets it go on.

So an interleaving is data: it can be drawn, shrunk and played once more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

from shared.errors import LedgerUnavailable
from shared.ledger.tables import Table

WAITING, GOING, DONE = "waiting", "going", "done"
PATIENCE = 60.0


class Turns:
    """Runs writers, one storage call at a time, in the order that `picks` says.

    Args:
        picks: of those that wait, who goes next; when they are used up, the first one.
        lost: numbers of calls, over all writers, whose answer is lost; negative ones are lost
            before they take effect (-1 is call 0).
    """

    def __init__(self, picks: Sequence[int], lost: frozenset[int] = frozenset()) -> None:
        self._picks = list(reversed(picks))
        self._lost = lost
        self._calls = 0
        self._changed = threading.Condition()
        self._states: dict[int, str] = {}
        self._errors: list[BaseException] = []

    def run(self, writers: Sequence[Callable[[Callable[[Table], Table]], None]]) -> None:
        """Let the writers write; each gets what puts a table under this scheduler."""
        threads = []
        for me, writer in enumerate(writers):
            self._states[me] = GOING
            threads.append(threading.Thread(target=self._work, args=(me, writer), daemon=True))
        for thread in threads:
            thread.start()
        self._schedule()
        for thread in threads:
            thread.join(PATIENCE)
        if self._errors:
            raise self._errors[0]

    def _work(self, me: int, writer: Callable[[Callable[[Table], Table]], None]) -> None:
        try:
            writer(lambda table: cast(Table, _Stepped(table, self, me)))
        except BaseException as error:  # noqa: BLE001 - raised again by `run`
            self._errors.append(error)
        finally:
            self._become(me, DONE)

    def _schedule(self) -> None:
        with self._changed:
            while True:
                assert self._changed.wait_for(self._settled, PATIENCE), self._states
                waiting = sorted(me for me, state in self._states.items() if state == WAITING)
                if not waiting:
                    return
                pick = self._picks.pop() if self._picks else 0
                self._states[waiting[pick % len(waiting)]] = GOING
                self._changed.notify_all()

    def _settled(self) -> bool:
        return GOING not in self._states.values()

    def _become(self, me: int, state: str) -> None:
        with self._changed:
            self._states[me] = state
            self._changed.notify_all()

    def step(self, me: int) -> int:
        """Wait for one's turn; the number of the call."""
        self._become(me, WAITING)
        with self._changed:
            assert self._changed.wait_for(lambda: self._states[me] == GOING, PATIENCE)
            self._calls += 1
            return self._calls - 1

    def called(self, number: int, call: Callable[[], Any]) -> Any:
        """What the call answers, if its answer is not lost."""
        if -number - 1 in self._lost:
            raise LedgerUnavailable("lost on the way there")
        answer = call()
        if number in self._lost:
            raise LedgerUnavailable("lost on the way back")
        return answer


class _Stepped:
    """A table whose every call waits for its turn."""

    def __init__(self, table: Table, turns: Turns, me: int) -> None:
        self._table = table
        self._turns = turns
        self._me = me

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._table, name)

        def stepped(*given: Any, **named: Any) -> Any:
            number = self._turns.step(self._me)
            return self._turns.called(number, lambda: _whole(call(*given, **named)))

        return stepped


def _whole(answer: Any) -> Any:
    """A listing is read at once: its pages are no turns of their own."""
    return iter(list(answer)) if hasattr(answer, "__next__") else answer
