"""What Lakemend tells about itself: log lines, spans and metrics.

Everything else calls `signals` and `metrics`, which import nothing and cost next to nothing until
an exporter is configured; `export` holds the OpenTelemetry SDK and is imported only then.
"""
