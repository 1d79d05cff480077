"""Senders first: steps of healings wait for them, but neither for few nor for ever."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from shared.precedence import _BESIDE, _BUSY, Precedence

LONG, SOON = 60.0, 0.05


@pytest.fixture
def started() -> threading.Event:
    return threading.Event()


def begin(precedence: Precedence, started: threading.Event) -> threading.Thread:
    """A step in a thread of its own; tells when its turn has come."""

    def step() -> None:
        with precedence.step():
            started.set()

    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    return thread


def test_few_senders_hold_nothing_up(started: threading.Event) -> None:
    precedence = Precedence(LONG)
    with ExitStack() as held:
        for _ in range(_BUSY - 1):
            held.enter_context(precedence.sender())
        for _ in range(20):
            held.enter_context(precedence.step())
        begin(precedence, started)
        assert started.wait(LONG)


def test_beside_many_senders_few_steps_run(started: threading.Event) -> None:
    precedence = Precedence(LONG)
    with ExitStack() as senders:
        for _ in range(_BUSY):
            senders.enter_context(precedence.sender())
        with ExitStack() as steps:
            for _ in range(_BESIDE):
                steps.enter_context(precedence.step())
            begin(precedence, started)
            assert not started.wait(SOON)
        assert started.wait(LONG), "one has ended, the next one's turn has come"


def test_steps_go_on_when_the_senders_are_answered(started: threading.Event) -> None:
    precedence = Precedence(LONG)
    with ExitStack() as steps:
        with ExitStack() as senders:
            for _ in range(_BUSY):
                senders.enter_context(precedence.sender())
            for _ in range(_BESIDE):
                steps.enter_context(precedence.step())
            begin(precedence, started)
            assert not started.wait(SOON)
        assert started.wait(LONG)


def test_a_step_does_not_wait_for_ever(started: threading.Event) -> None:
    precedence = Precedence(SOON)
    with ExitStack() as held:
        for _ in range(_BUSY):
            held.enter_context(precedence.sender())
        for _ in range(_BESIDE):
            held.enter_context(precedence.step())
        begin(precedence, started)
        assert started.wait(LONG)
