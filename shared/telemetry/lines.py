"""Log lines: each carries what it is about, and no secret leaves in one.

Done where a line is made, so that it holds for every handler: the host's, the devhost's, the
exporter's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.errors import ConfigurationError
from shared.telemetry import signals

if TYPE_CHECKING:
    from shared.redaction import Redactor

IDS = ("incident_id", "alert_id", "delivery_id")
_OURS = "lakemend"


class Lines:
    """Makes log records. `redactor` is asked for at the first line, not before."""

    def __init__(
        self, make: Callable[..., logging.LogRecord], redactor: Callable[[], Redactor]
    ) -> None:
        self._make = make
        self._redactor = redactor

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401 - as logging calls it
        """A record with the ids of what is being done, its texts without secrets."""
        record = self._make(*args, **kwargs)
        about = signals.ids()
        record.__dict__.update({name: about.get(name, "") for name in IDS})
        if record.name.startswith(_OURS) or record.levelno >= logging.WARNING:
            self._redact(record)
        return record

    def _redact(self, record: logging.LogRecord) -> None:
        try:
            redactor = self._redactor()
        except ConfigurationError:  # the line that tells of it, without our own secrets' values
            from shared.redaction import Redactor

            redactor = Redactor()
        record.msg, record.args = redactor.text(record.getMessage()), None
        if record.exc_info:
            # Formatters print this text as it stands and do not format the exception again.
            trace = logging.Formatter().formatException(record.exc_info)
            record.exc_text = redactor.text(trace)


def install(redactor: Callable[[], Redactor]) -> None:
    """Make all log records of this process that way."""
    present = logging.getLogRecordFactory()
    base = present._make if isinstance(present, Lines) else present
    logging.setLogRecordFactory(Lines(base, redactor))
