"""Calls functions as the Python worker does: bindings in, threads for synchronous ones."""

import asyncio
import threading
import uuid
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions.durable_functions import ActivityTriggerConverter
from azure.functions.meta import Datum

from devhost.loader import Function


class InvocationContext(func.Context):
    """What a function gets for a parameter named `context`."""

    def __init__(self, name: str, directory: Path) -> None:
        self._name = name
        self._directory = str(directory)
        self._invocation_id = str(uuid.uuid4())

    @property
    def invocation_id(self) -> str:
        """The id of this call."""
        return self._invocation_id

    @property
    def function_name(self) -> str:
        """The name of the function."""
        return self._name

    @property
    def function_directory(self) -> str:
        """The folder of the app."""
        return self._directory

    @property
    def thread_local_storage(self) -> Any:  # noqa: ANN401 - the base class says Type[local]
        """A place of its own for each thread."""
        return threading.local()

    @property
    def trace_context(self) -> Any:  # noqa: ANN401 - there is no tracing here
        """Nothing: the devhost does not trace."""
        return None

    @property
    def retry_context(self) -> Any:  # noqa: ANN401 - there are no retry policies here
        """Nothing: the devhost has no retry policies."""
        return None


class Invoker:
    """Calls functions; `client` gives the durable client binding's JSON."""

    def __init__(self, threads: int, client: Callable[[], str], root: Path) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._client = client
        self._root = root

    async def call(self, function: Function, argument: object) -> Any:  # noqa: ANN401 - user code
        """Call a function with its trigger's value and its other bindings."""
        arguments: dict[str, Any] = {name: self._client() for name in function.clients}
        arguments[function.parameter] = argument
        if function.takes_context:
            arguments["context"] = InvocationContext(function.name, self._root)
        if function.is_async:
            return await function.call(**arguments)
        call = partial(copy_context().run, function.call, **arguments)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def activity(self, function: Function, text: str | None) -> str:
        """Call an activity with JSON text; give its result as JSON text."""
        result = await self.call(function, decode(text))
        return encode(result)

    def close(self) -> None:
        """Start no more calls."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def decode(text: str | None) -> Any:  # noqa: ANN401 - any JSON value
    """Read an activity's input by the converter that the Python worker uses."""
    with warnings.catch_warnings():
        # The SDK advises once per process to pass types, which the worker cannot.
        warnings.simplefilter("ignore")
        datum = Datum(text if text is not None else "null", "json")
        return ActivityTriggerConverter.decode(datum, trigger_metadata=None)


def encode(value: object) -> str:
    """Print an activity's result by the converter that the Python worker uses."""
    return str(ActivityTriggerConverter.encode(value, expected_type=None).value)
