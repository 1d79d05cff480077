import asyncio
from collections.abc import Callable
from pathlib import Path

from devhost import loader
from devhost.engine import Engine
from devhost.generation import Generation
from devhost.host import Host, Options
from devhost.settings import HostSettings

ROOT = Path(__file__).parents[2]
APP = "tests.devhost.sample_app:app"
SETTINGS = HostSettings(route_prefix="", task_hub="tests", default_version="1.0")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.002)


async def finished(engine: Engine, instance: str) -> Generation:
    await until(lambda: engine.known(instance).finished is not None)
    return engine.known(instance)


async def start_host(journal: Path | None = None, time_scale: float = 1.0) -> Host:
    functions = loader.load(APP, ROOT)
    options = Options(port=0, journal=journal, time_scale=time_scale, threads=4)
    host = Host(functions, SETTINGS, options)
    await host.start()
    return host
