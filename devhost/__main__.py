"""`python -m devhost`: run the function app in this folder."""

import argparse
import asyncio
import faulthandler
import logging
import os
import signal
import sys
from pathlib import Path

from devhost import loader, settings
from devhost.host import Host, Options
from devhost.journal import JournalError
from devhost.settings import SettingsError

USAGE_ERROR = 2
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# They tell of every request.
QUIET_LOGGERS = ("azure.core", "azure.functions.DurableFunctions", "asyncio")


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; give the exit code."""
    given = _parse(arguments)
    faulthandler.enable()  # a crash in a native library names the place
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stderr)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(given))
    except (SettingsError, JournalError) as error:
        sys.stderr.write(f"devhost: {error}\n")
        return USAGE_ERROR
    return 0


async def _serve(given: argparse.Namespace) -> None:
    host = _host(given)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await host.start()
    sys.stdout.write(f"devhost ready on {host.url} ({len(host.functions)} functions)\n")
    sys.stdout.flush()
    await stopping.wait()
    if not await host.stop():
        logging.getLogger("devhost").warning("activities still running run again at the next start")


def _host(given: argparse.Namespace) -> Host:
    root = Path.cwd()
    settings.load_local(given.settings)
    functions = loader.load(given.app, root)
    options = Options(
        host=given.host,
        port=given.port,
        journal=given.journal,
        threads=given.threads,
        time_scale=given.time_scale,
        root=root,
    )
    return Host(functions, settings.load_host(root / "host.json"), options)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="devhost", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free one")
    parser.add_argument("--app", default="function_app:app", help="module:attribute")
    parser.add_argument("--journal", type=Path, default=Path(".run/devhost.sqlite"))
    parser.add_argument("--settings", type=Path, default=Path("local.settings.json"))
    parser.add_argument("--threads", type=_positive_int, default=16, help="for sync functions")
    parser.add_argument(
        "--time-scale",
        type=_positive,
        default=os.environ.get("TIME_SCALE", "1.0"),
        help="how much faster durable timers run: 60 makes a minute a second",
    )
    return parser.parse_args(arguments)


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise ValueError(text)
    return number


def _positive_int(text: str) -> int:
    return int(_positive(str(int(text))))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A function that still runs in a thread must not keep the process alive after its grace.
    os._exit(code)
