"""How a step of a delivery is left before its end: steps are written as straight lines."""

from __future__ import annotations


class Later(Exception):
    """The step goes on after a pause; `why` is shown to people.

    `asked`: the platform itself asked for the pause, so nothing of it is called before its end.
    """

    def __init__(self, seconds: float, why: str = "", *, asked: bool = False) -> None:
        super().__init__(why)
        self.seconds = seconds
        self.why = why
        self.asked = asked


class GateFailed(Exception):
    """The gate is not passed; the text says why.

    `told`: what was found is in the failure report already.
    """

    def __init__(self, why: str, *, told: bool = False) -> None:
        super().__init__(why)
        self.told = told
