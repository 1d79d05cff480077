"""Options for running the end-to-end tests against a host that runs already."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--base-url", help="a running Lakemend, e.g. http://127.0.0.1:7071")
    parser.addoption("--sandbox-url", default="http://127.0.0.1:8900", help="the sandbox it sees")
    parser.addoption("--api-key", default="", help="a key with all scopes")
    parser.addoption("--factory-id", default="", help="the ARM id of the factory it lists")
