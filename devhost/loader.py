"""Reads the functions of an app and their bindings."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from azure.functions.decorators.core import Binding, Trigger
from azure.functions.decorators.function_app import Function as AppFunction

from devhost.settings import SettingsError

TriggerType = Literal[
    "httpTrigger", "timerTrigger", "eventGridTrigger", "orchestrationTrigger", "activityTrigger"
]
TRIGGER_TYPES: tuple[str, ...] = get_args(TriggerType)
DURABLE_CLIENT = "durableClient"
# An HTTP function's answer is its return value.
IGNORED_BINDINGS = ("http",)


class Function(msgspec.Struct, frozen=True):
    """One function of the app."""

    name: str
    trigger_type: str
    parameter: str
    call: Callable[..., Any]
    properties: dict[str, Any]
    clients: tuple[str, ...] = ()
    takes_context: bool = False

    @property
    def is_async(self) -> bool:
        """Whether calling it gives a coroutine."""
        return inspect.iscoroutinefunction(self.call)

    @property
    def durable_name(self) -> str:
        """The name by which orchestrations call it."""
        declared = self.properties.get("orchestration") or self.properties.get("activity")
        return declared or self.name


Functions = Mapping[str, Function]


def load(target: str, root: Path) -> Functions:
    """Import `module:attribute` and read its functions.

    Raises:
        SettingsError: The app cannot be imported or has what this host cannot run.
    """
    module_name, _, attribute = target.partition(":")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # What the app itself fails to import is its own error and keeps its traceback.
        if error.name != module_name.partition(".")[0] and error.name != module_name:
            raise
        raise SettingsError(f"cannot load the app '{target}': {error}") from error
    if not hasattr(module, attribute or "app"):
        raise SettingsError(f"cannot load the app '{target}': no such attribute")
    return read(getattr(module, attribute or "app"))


def read(app: Any) -> Functions:  # noqa: ANN401 - DFApp and FunctionApp have no common typed base
    """Read the functions of an app object."""
    # The SDK refuses to read an app twice; in-process tests start more than one host.
    app.functions_bindings = {}
    try:
        functions: Iterable[AppFunction] = app.get_functions()
    except ValueError as error:
        raise SettingsError(f"the app's functions cannot be read: {error}") from error
    found = [_function(each) for each in functions]
    return {function.name: function for function in found}


def by_type(functions: Functions, trigger_type: TriggerType) -> list[Function]:
    """Give the functions with this kind of trigger."""
    return [each for each in functions.values() if each.trigger_type == trigger_type]


def _function(declared: AppFunction) -> Function:
    name = declared.get_function_name() or ""
    trigger = declared.get_trigger()
    if trigger is None or trigger.type not in TRIGGER_TYPES:
        kind = trigger.type if trigger else "none"
        raise SettingsError(f"function '{name}' has a trigger the devhost does not know: {kind}")
    call = declared.get_user_function()
    return Function(
        name=name,
        trigger_type=trigger.type,
        parameter=trigger.name,
        call=call,
        properties=trigger.get_dict_repr(),
        clients=_clients(name, trigger, declared.get_bindings()),
        takes_context="context" in inspect.signature(call).parameters and trigger.name != "context",
    )


def _clients(name: str, trigger: Trigger, bindings: list[Binding]) -> tuple[str, ...]:
    others = [
        each for each in bindings if each is not trigger and each.type not in IGNORED_BINDINGS
    ]
    unknown = [each.type for each in others if each.type != DURABLE_CLIENT]
    if unknown:
        raise SettingsError(f"function '{name}' has a binding the devhost does not know: {unknown}")
    return tuple(each.name for each in others)
