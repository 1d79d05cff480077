"""`python -m devstack`: start everything locally, show a healing, stay up until Ctrl-C."""

import argparse
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from devstack import deliver, guide
from devstack.demonstration import Demonstration
from devstack.processes import Ports, ServiceError, Stack
from devstack.story import furnish
from devstack.view import View

_LOOK = 0.5  # seconds between looks whether all services are alive
_HIGHEST_PORT = 65_535
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PORTS = {  # setting: field of Ports
    "AZURITE_BLOB_PORT": "blob",
    "AZURITE_QUEUE_PORT": "queue",
    "AZURITE_TABLE_PORT": "table",
    "SANDBOX_PORT": "sandbox",
    "LAKEMEND_PORT": "devhost",
}


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop; give the exit code."""
    options = _parse(arguments)
    view = View()
    for number in _STOPS:
        signal.signal(number, _interrupt)
    try:
        healed = _run(options, view)
    except ServiceError as error:
        view.say(str(error), "red")
        return 1
    except KeyboardInterrupt:
        view.say()  # the terminal has shown ^C
        healed = not options.once
    view.say("stopped")
    return 0 if healed else 1


def _run(options: argparse.Namespace, view: View) -> bool:
    ports = Ports(**{field: getattr(options, field) for field in _PORTS.values()})
    stack = Stack(options.directory, ports, time_scale=options.time_scale)
    for line in guide.moved_ports(stack):
        view.say(line, "yellow")
    view.say("starting Azurite, the sandbox and the devhost ...")
    try:
        with stack:
            return _show(stack, options, view)
    finally:
        # Whoever presses Ctrl-C again while things stop must not keep them from stopping.
        _ignore_stops()


def _show(stack: Stack, options: argparse.Namespace, view: View) -> bool:
    furnish(stack)
    deliver.note(stack)
    view.say(f"up: {stack.base_url}")
    if options.time_scale != 1:
        view.say(guide.pace(options.time_scale), "yellow")
    healed = True if options.no_demo else Demonstration(stack, view).run()
    if options.once:
        return healed
    guide.tell(stack, view, time_scale=options.time_scale)
    while True:
        stack.check()
        time.sleep(_LOOK)


def _interrupt(_number: int, _frame: object) -> None:
    _ignore_stops()
    raise KeyboardInterrupt


def _ignore_stops() -> None:
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="devstack", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--once", action="store_true", help="end after the demonstration: 0 if healed"
    )
    what.add_argument("--no-demo", action="store_true", help="only the stack")
    parser.add_argument("--directory", type=Path, help="for data and logs; .run/<port> by default")
    parser.add_argument(
        "--time-scale",
        type=_positive,
        default=os.environ.get("TIME_SCALE") or "1",
        help="how much faster timers run: 20 makes a minute three seconds",
    )
    wished = asdict(Ports())
    for setting, field in _PORTS.items():
        given = os.environ.get(setting) or str(wished[field])
        flag = f"--{setting.lower().replace('_', '-')}"
        parser.add_argument(flag, dest=field, type=_port, default=given, help="0: any free port")
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _HIGHEST_PORT:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
