"""A receiver of OTLP over HTTP: what a running app says of itself, decoded."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Json = dict[str, Any]

_KINDS: dict[str, tuple[Any, str, str, str]] = {
    "/v1/traces": (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
    "/v1/logs": (ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
    "/v1/metrics": (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"),
}


class Told(msgspec.Struct, frozen=True):
    """A span or a log line: its trace, its name or text, its attributes."""

    trace: str
    text: str
    attributes: Json
    span: str = ""
    parent: str = ""
    logger: str = ""
    failed: bool = False


class Receiver:
    """Listens on a port of its own; a context."""

    def __init__(self) -> None:
        self.spans: list[Told] = []
        self.lines: list[Told] = []
        self.points: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}
        self.raw = b""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer._take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """Settings of a host that tells this receiver, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }

    def value(self, metric: str, **dimensions: str) -> float:
        """The newest figure of a metric: a sum, a level, or the number of values of a spread."""
        point = self.points.get((metric, tuple(sorted(dimensions.items()))))
        if point is None:
            return 0
        if hasattr(point, "bucket_counts"):
            return float(point.count)
        return float(getattr(point, point.WhichOneof("value")))

    def _take(self, path: str, body: bytes) -> None:
        shape, outer, inner, items = _KINDS[path]
        message = shape()
        message.ParseFromString(body)
        with self._lock:
            self.raw += body
            for resource in getattr(message, outer):
                for scope in getattr(resource, inner):
                    for item in getattr(scope, items):
                        self._keep(path, scope.scope.name, item)

    def _keep(self, path: str, scope: str, item: Any) -> None:
        if path == "/v1/metrics":
            for point in getattr(item, item.WhichOneof("data")).data_points:
                keys = [(a.key, a.value.string_value) for a in point.attributes]
                self.points[(item.name, tuple(sorted(keys)))] = point
            return
        attributes = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in item.attributes}
        if path == "/v1/logs":
            line = Told(item.trace_id.hex(), item.body.string_value, attributes, logger=scope)
            self.lines.append(line)
            return
        self.spans.append(
            Told(
                item.trace_id.hex(),
                item.name,
                attributes,
                item.span_id.hex(),
                item.parent_span_id.hex(),
                failed=item.status.code == 2,
            )
        )
