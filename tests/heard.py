"""A listener that remembers what it heard, for tests within this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from shared.telemetry.metrics import Metric
from shared.telemetry.signals import Attribute, Span


class Heard:
    def __init__(self) -> None:
        self.values: list[tuple[str, float, dict[str, str]]] = []
        self.spans: list[dict[str, Any]] = []

    def count(self, metric: Metric) -> int:
        return sum(name == metric.name for name, _, _ in self.values)

    @contextmanager
    def span(
        self, name: str, *, outgoing: bool, parent: str, attributes: Mapping[str, Attribute]
    ) -> Iterator[Span]:
        heard = _Span({"name": name, "outgoing": outgoing, "parent": parent, **attributes})
        self.spans.append(heard.told)
        yield heard

    def past(
        self, name: str, since: datetime, parent: str, attributes: Mapping[str, Attribute]
    ) -> None:
        self.spans.append({"name": name, "since": since, "parent": parent, **attributes})

    def record(self, metric: Metric, value: float, dimensions: Mapping[str, str]) -> None:
        self.values.append((metric.name, value, dict(dimensions)))


class _Span:
    traceparent = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told

    def set(self, **attributes: Attribute) -> None:
        self.told.update(attributes)

    def fail(self, why: str) -> None:
        self.told["failed"] = why
