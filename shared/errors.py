"""The one hierarchy of errors.

    LakemendError
    ├── InputError            what was sent cannot be understood: names the field      (HTTP 400)
    ├── ConfigurationError    a setting, the catalog or the policy is wrong            (start-up)
    ├── LedgerError
    │   ├── LedgerConflict    somebody else wrote first: read again
    │   ├── LedgerMissing     no such row
    │   ├── LedgerRefused     storage will never take this row                            (HTTP 413)
    │   └── LedgerUnavailable storage did not answer: nothing is known to be stored    (HTTP 503)
    └── PlatformError         Data Factory or Databricks
        ├── NothingChanged    failed before anything changed: may be tried again
        │   ├── PlatformUnavailable   no answer, or an error answer to a read
        │   ├── PlatformRefused       the platform said no
        │   ├── PlatformThrottled     the platform said later (carries its Retry-After)
        │   └── PlatformMissing       no such run, cluster, job, pipeline
        └── ChangeInDoubt     failed while changing something: look before anything else

`NothingChanged` and `ChangeInDoubt` are told apart by type because they are handled apart:
after the first an action may be repeated, after the second only looked for.
"""

from __future__ import annotations


class LakemendError(Exception):
    """Root of all errors that this program raises on purpose."""


class InputError(LakemendError):
    """Input that cannot be understood.

    Attributes:
        field: path of the offending field, for example `data.essentials.firedDateTime`.
    """

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: {expected}")
        self.field = field
        self.expected = expected


class ConfigurationError(LakemendError):
    """A setting, the catalog or the policy is wrong; the text names where and why."""


class LedgerError(LakemendError):
    """The ledger could not do what was asked."""


class LedgerConflict(LedgerError):
    """The row exists already, or was changed since it was read."""


class LedgerMissing(LedgerError):
    """There is no such row."""


class LedgerRefused(LedgerError):
    """Storage will never take this row as it is: too large, or a mistake of ours."""


class LedgerUnavailable(LedgerError):
    """Storage did not answer or answered with an error; nothing is known to be stored."""


class PlatformError(LakemendError):
    """A platform call failed.

    Attributes:
        status: HTTP status, 0 when there was no answer.
        code: the platform's own error code, empty when there was none.
    """

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NothingChanged(PlatformError):
    """Failed before anything changed: the call may be made again."""


class PlatformUnavailable(NothingChanged):
    """No answer, or an error answer to a call that changes nothing."""


class PlatformRefused(NothingChanged):
    """The platform understood and said no (4xx)."""


_HOUR = 3600.0


class PlatformThrottled(NothingChanged):
    """The platform said later.

    Attributes:
        retry_after: seconds the platform asked for, None when it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None, code: str = "") -> None:
        super().__init__(message, 429, code)
        # A platform that says "in a century" is not obeyed to the letter.
        self.retry_after = None if retry_after is None else min(max(retry_after, 0.0), _HOUR)


class PlatformMissing(NothingChanged):
    """There is no such thing on the platform (404)."""


class ChangeInDoubt(PlatformError):
    """A mutation failed in a way that leaves open whether it took effect."""
