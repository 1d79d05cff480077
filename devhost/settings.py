"""host.json, local.settings.json and `%NAME%` expressions."""

import json
import os
import re
from pathlib import Path
from typing import Any

import msgspec


class SettingsError(Exception):
    """The host cannot start; the text says what to change."""


class HostSettings(msgspec.Struct, frozen=True):
    """What the devhost reads from host.json."""

    route_prefix: str = "api"
    task_hub: str = "TestHubName"
    default_version: str | None = None


def expand(text: str) -> str:
    """Replace `%NAME%` by the environment's value.

    Raises:
        SettingsError: The environment has no such value.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise SettingsError(f"the setting '%{name}%' is not in the environment")
        return os.environ[name]

    return re.sub(r"%([^%\s]+)%", value, text)


def disabled(function: str) -> bool:
    """Whether a setting switches a function off: its trigger is silent, by hand it still runs.

    `AzureWebJobs.<name>.Disabled`, with `_` for `.` where a shell cannot have dots, as in
    https://learn.microsoft.com/azure/azure-functions/disable-function
    """
    names = (f"AzureWebJobs.{function}.Disabled", f"AzureWebJobs_{function}_Disabled")
    return any(os.environ.get(name, "").strip().lower() in {"true", "1"} for name in names)


def load_host(path: Path) -> HostSettings:
    """Read host.json; a missing one means the defaults of the real host."""
    extensions = _read(path).get("extensions", {})
    durable = extensions.get("durableTask", {})
    return HostSettings(
        route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
        task_hub=_hub(durable.get("hubName", "TestHubName")),
        default_version=durable.get("defaultVersion"),
    )


def load_local(path: Path) -> None:
    """Put the values of local.settings.json into the environment where it has none."""
    for name, value in _read(path).get("Values", {}).items():
        os.environ.setdefault(name, str(value))


def _hub(name: str) -> str:
    try:
        return expand(name)
    except SettingsError:
        # The hub's name only shows in URLs here, so a missing one stops nobody.
        return "devhost"


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} is not a JSON object")
    return content
