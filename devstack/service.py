"""One process of the stack: started, watched until it serves, stopped with all that it started."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from devstack.client import answers

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"

_LEASH = Path(__file__).with_name("leash.py")
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL
_LOOK = 0.05  # seconds between looks whether it serves
_TAIL = 25  # lines of a log that an error shows
_PORT_TRIES = 100
_given: set[int] = set()


class ServiceError(Exception):
    """A process did not come up or ended by itself; the text shows the end of its log."""


def free_port(preferred: int = 0) -> int:
    """The preferred port if it is free on 127.0.0.1, else a free one.

    No port is given twice: what asked for it first may not listen yet.

    Raises:
        ServiceError: there is none.
    """
    for wanted in (preferred, *[0] * _PORT_TRIES):
        port = _bindable(wanted)
        if port and port not in _given:
            _given.add(port)
            return port
    raise ServiceError(f"no free port on {HOST}")


def _bindable(port: int) -> int:
    with socket.socket() as candidate:
        # A port whose last connections are still winding down is free for a new listener.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return 0
        return int(candidate.getsockname()[1])


@dataclass
class Service:
    """A process, in a session of its own, whose output goes to a file.

    Ctrl-C in a terminal therefore reaches the launcher alone, which stops everything in order.
    Start it from a thread that stays: on Linux it dies with the thread that started it.
    """

    name: str
    argv: Sequence[str]
    log: Path
    probes: Sequence[str]  # what has to answer before it counts as up; see `client.answers`
    env: Mapping[str, str] | None = None
    patience: float = 60.0  # seconds until it has to be up
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _log_start: int = field(default=0, init=False, repr=False)

    @property
    def pid(self) -> int | None:
        """The process's number while it was not stopped."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            ServiceError: it ended, did not serve in time, or its port is taken; nothing is left.
        """
        if self._process is not None:
            raise ServiceError(f"{self.name} was started already")
        self._refuse_strangers()
        self._launch()
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """SIGTERM to the whole group, SIGKILL to what is left of it after 5 seconds."""
        if self._process is None:
            return
        _signal_group(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group, at once."""
        if self._process is None:
            return
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop it, if it runs, and start it again."""
        self.stop()
        self.start()

    def check(self) -> None:
        """Complain if it is not alive.

        Raises:
            ServiceError: it ended.
        """
        if not self.alive:
            raise self._trouble(f"ended with exit code {self._exit_code()}")

    def tail(self) -> str:
        """The last lines that it wrote since it was started."""
        written = self.log.read_bytes()[self._log_start :] if self.log.exists() else b""
        return "\n".join(written.decode(errors="replace").splitlines()[-_TAIL:])

    def _refuse_strangers(self) -> None:
        # Their answers would be taken for those of the process that cannot listen.
        for probe in self.probes:
            if answers(probe):
                raise ServiceError(f"{self.name}: another process answers at {probe}")

    def _launch(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        leash = [sys.executable, "-IS", str(_LEASH), str(os.getpid())]
        with self.log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - commands that the stack composed
                [*leash, *self.argv],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self.patience
        while not all(answers(probe) for probe in self.probes):
            self.check()
            if time.monotonic() > deadline:
                raise self._trouble(f"did not serve within {self.patience:g} s")
            time.sleep(_LOOK)
        self.check()

    def _trouble(self, what: str) -> ServiceError:
        said = self.tail() or "(nothing)"
        return ServiceError(f"{self.name} {what}; the end of {self.log}:\n{said}")

    def _exit_code(self) -> int | None:
        return self._process.poll() if self._process else None


def _signal_group(leader: int, number: signal.Signals) -> None:
    # The group outlives its leader while a child of it lives; without one it is gone.
    with suppress(ProcessLookupError):
        os.killpg(leader, number)
