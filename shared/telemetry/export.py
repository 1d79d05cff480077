"""Signals to Application Insights, to an OTLP receiver, or to both, by the OpenTelemetry SDK.

Imported only where one of them is configured, at the first invocation.

The exporter to Application Insights takes its identity from
`APPLICATIONINSIGHTS_AUTHENTICATION_STRING` by itself, the same setting that the host reads.
https://learn.microsoft.com/azure/azure-functions/functions-app-settings#applicationinsights_authentication_string
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.metrics import Counter, Histogram
from opentelemetry.metrics import _Gauge as Gauge
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, StatusCode

from shared.telemetry.lines import IDS
from shared.telemetry.metrics import Kind, Metric
from shared.telemetry.signals import Attribute, Span

_NAME = "lakemend"
# What the exporters themselves log would be exported again, and so on.
_NOT_EXPORTED = ("opentelemetry", "azure", "urllib3", "requests")
# https://opentelemetry.io/docs/specs/otel/logs/data-model-appendix/#appendix-b-severitynumber-example-mappings
_SEVERITY = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}

Exporters = tuple[SpanExporter, MetricExporter, LogRecordExporter]


def insights(connection: str) -> Exporters:
    """Exporters to Application Insights."""
    from azure.monitor.opentelemetry.exporter import (
        AzureMonitorLogExporter,
        AzureMonitorMetricExporter,
        AzureMonitorTraceExporter,
    )

    # What could not be sent is not kept on the disk of a machine that others may get next.
    options = {"connection_string": connection, "disable_offline_storage": True}
    return (
        AzureMonitorTraceExporter(**options),
        AzureMonitorMetricExporter(**options),
        AzureMonitorLogExporter(**options),
    )


def otlp(endpoint: str) -> Exporters:
    """Exporters to an OTLP receiver over HTTP; headers come from `OTEL_EXPORTER_OTLP_HEADERS`."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return (
        OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces"),
        OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics"),
        OTLPLogExporter(endpoint=f"{endpoint}/v1/logs"),
    )


class Export:
    """The listener that hands everything to exporters, in the background.

    All spans are kept: an incident is rare, and a sender's `sampled` flag must not hide it.
    """

    def __init__(self, exporters: list[Exporters]) -> None:
        resource = Resource.create({"service.name": _NAME, "service.instance.id": uuid.uuid4().hex})
        self._traces = TracerProvider(ALWAYS_ON, resource)
        self._logs = LoggerProvider(resource)
        readers = [PeriodicExportingMetricReader(metrics) for _, metrics, _ in exporters]
        self._metrics = MeterProvider(readers, resource)
        for spans, _, lines in exporters:
            self._traces.add_span_processor(BatchSpanProcessor(spans))
            self._logs.add_log_record_processor(BatchLogRecordProcessor(lines))
        self._tracer = self._traces.get_tracer(_NAME)
        self._instrument = cache(self._make_instrument)

    def attach(self) -> None:
        """Take the log lines of this process too, ours from INFO on."""
        logging.getLogger(_NAME).setLevel(logging.INFO)
        logging.getLogger().addHandler(_Handler(self._logs))

    def close(self) -> None:
        """Send what is left, and no more."""
        self._traces.shutdown()
        self._metrics.shutdown()
        self._logs.shutdown()

    @contextmanager
    def span(
        self, name: str, *, outgoing: bool, parent: str, attributes: Mapping[str, Attribute]
    ) -> Iterator[Span]:
        """Begin a span; where it continues another trace, a link names the host's own span."""
        around = trace.get_current_span().get_span_context()
        with self._tracer.start_as_current_span(
            name,
            context=_continued(parent, around) if parent else None,
            kind=SpanKind.CLIENT if outgoing else SpanKind.SERVER if parent else SpanKind.INTERNAL,
            attributes=attributes,
            links=[Link(around)] if parent and around.is_valid else None,
            record_exception=False,  # its message may quote what a platform said
            set_status_on_exception=False,
        ) as begun:
            yield _Told(begun)

    def past(
        self, name: str, since: datetime, parent: str, attributes: Mapping[str, Attribute]
    ) -> None:
        """A span from `since` until now."""
        self._tracer.start_span(
            name,
            context=_continued(parent, trace.INVALID_SPAN_CONTEXT) if parent else None,
            start_time=int(since.timestamp() * 1e9),
            attributes=attributes,
        ).end()

    def record(self, metric: Metric, value: float, dimensions: Mapping[str, str]) -> None:
        """One value of a metric."""
        instrument = self._instrument(metric)
        if isinstance(instrument, Counter):
            instrument.add(value, dimensions)
        elif isinstance(instrument, Histogram):
            instrument.record(value, dimensions)
        else:
            instrument.set(value, dimensions)

    def _make_instrument(self, metric: Metric) -> Counter | Histogram | Gauge:
        meter = self._metrics.get_meter(_NAME)
        told = (metric.name, metric.unit, metric.meaning)
        if metric.kind is Kind.COUNT:
            return meter.create_counter(*told)
        if metric.kind is Kind.SPREAD:
            return meter.create_histogram(*told)
        return meter.create_gauge(*told)


class _Told:
    """A span of the SDK, as `signals` knows it."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, **attributes: Attribute) -> None:
        self._span.set_attributes(attributes)

    def fail(self, why: str) -> None:
        self._span.set_status(StatusCode.ERROR, why)

    @property
    def traceparent(self) -> str:
        own = self._span.get_span_context()
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"


def _continued(traceparent: str, around: trace.SpanContext) -> Context | None:
    """The context of `traceparent`; None, the present one, if that continues it already."""
    _, trace_id, span_id, flags = traceparent.split("-")
    if int(trace_id, 16) == around.trace_id:
        return None
    parent = trace.SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(flags, 16)),
    )
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


class _Handler(logging.Handler):
    """Hands log lines to the exporters; `lines` has taken the secrets out of them."""

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        if record.name.partition(".")[0] in _NOT_EXPORTED:
            return
        told = {name: getattr(record, name, "") for name in IDS}
        attributes: dict[str, Attribute] = {name: value for name, value in told.items() if value}
        if record.exc_text:
            kind = record.exc_info[0] if record.exc_info else None
            attributes["exception.type"] = kind.__name__ if kind else "Exception"
            attributes["exception.stacktrace"] = record.exc_text
        self._provider.get_logger(record.name).emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                severity_text=record.levelname,
                severity_number=_SEVERITY.get(record.levelno, SeverityNumber.INFO),
                body=record.getMessage(),
                attributes=attributes,
            )
        )
