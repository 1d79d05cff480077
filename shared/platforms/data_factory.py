"""Data Factory, by azure-mgmt-datafactory: the few calls that healing needs.

Source of the API rules: https://learn.microsoft.com/rest/api/datafactory/
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.clock import Clock
from shared.errors import (
    ChangeInDoubt,
    PlatformError,
    PlatformMissing,
    PlatformRefused,
    PlatformThrottled,
    PlatformUnavailable,
)
from shared.platforms.calls import an_id, mutate, read
from shared.platforms.observed import observed
from shared.targets import DataFactory
from shared.transport import transport_to

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.datafactory import DataFactoryManagementClient

Row = dict[str, Any]

_MAX_PAGES = 200
_THROTTLED, _TIMEOUT, _NOT_FOUND, _SERVER = 429, 408, 404, 500


@observed("data_factory", "factory.name")
class FactoryClient:
    """One factory's runs."""

    def __init__(
        self, factory: DataFactory, client: DataFactoryManagementClient, clock: Clock
    ) -> None:
        self.factory = factory
        self._client = client
        self._clock = clock
        self._at = (factory.resource_group, factory.name)

    def run(self, run_id: str) -> Row:
        """One pipeline run, in the API's own names.

        Raises:
            PlatformMissing: no such run (history is kept 45 days).
        """
        return dict(self._read(lambda: self._client.pipeline_runs.get(*self._at, run_id).as_dict()))

    def runs(self, after: datetime, before: datetime, **equal: str) -> list[Row]:
        """Pipeline runs last updated between two moments, whose operands equal the given values.

        Args:
            after: earliest update.
            before: latest update.
            **equal: operands of the API: `PipelineName`, `Status`, `RunGroupId` …
        """
        query = self._client.pipeline_runs.query_by_factory
        rows = self._pages(query, self._at, after, before, equal)
        # Asked again here: to act on a run that the filter let through by mistake would be wrong.
        return [row for row in rows if all(_is(row, name, v) for name, v in equal.items())]

    def activities(self, run_id: str, after: datetime, before: datetime) -> list[Row]:
        """The activity runs of a pipeline run, in the API's own names."""
        query = self._client.activity_runs.query_by_pipeline_run
        return list(self._pages(query, (*self._at, run_id), after, before, {}))

    def pipeline(self, name: str) -> Row:
        """A pipeline's definition.

        Raises:
            PlatformMissing: no such pipeline.
        """
        get: Any = self._client.pipelines.get
        return dict(self._read(lambda: get(*self._at, name).as_dict()))

    def pipeline_names(self) -> list[str]:
        """Names of all pipelines of the factory."""
        listed = self._read(lambda: list(self._client.pipelines.list_by_factory(*self._at)))
        return [str(pipeline.name) for pipeline in listed]

    def linked_services(self) -> list[Row]:
        """All linked services of the factory, in the API's own names; secrets come back masked."""
        listed = self._read(lambda: list(self._client.linked_services.list_by_factory(*self._at)))
        return [dict(service.as_dict()) for service in listed]

    def integration_runtimes(self) -> list[Row]:
        """All integration runtimes of the factory, in the API's own names."""
        listed = self._read(
            lambda: list(self._client.integration_runtimes.list_by_factory(*self._at))
        )
        return [dict(runtime.as_dict()) for runtime in listed]

    def runtime_status(self, name: str) -> Row:
        """The status of an integration runtime: `state`, and the nodes of a self-hosted one."""
        answer = self._read(
            lambda: self._client.integration_runtimes.get_status(*self._at, name)
        ).as_dict()
        return dict(answer.get("properties") or answer)

    def run_anew(self, pipeline: str, parameters: dict[str, str]) -> str:
        """Start a run of the whole pipeline with these parameters; returns its id.

        Raises:
            NothingChanged: refused or never sent.
            ChangeInDoubt: it may have started: look for a newer run with these parameters.
        """
        create = self._client.pipelines.create_run
        return mutate(lambda: an_id(create(*self._at, pipeline, parameters).run_id), translate)

    def rerun_from_failure(self, pipeline: str, run_id: str) -> str:
        """Start a recovery run of `run_id` from its failed activity; returns the new run's id.

        The run that is referred to gives the parameters; the new run joins its group.

        Raises:
            NothingChanged: refused or never sent.
            ChangeInDoubt: it may have started: look for a newer run of the group.
        """
        create = self._client.pipelines.create_run
        return mutate(
            lambda: an_id(
                create(
                    *self._at,
                    pipeline,
                    reference_pipeline_run_id=run_id,
                    is_recovery=True,
                    start_from_failure=True,
                ).run_id
            ),
            translate,
        )

    def rerun_trigger(self, trigger: str, trigger_run_id: str) -> None:
        """Run a trigger run again: the only rerun that turns a tumbling window good.

        Raises:
            NothingChanged: refused or never sent.
            ChangeInDoubt: it may have started: look for a newer run of the trigger.
        """
        mutate(
            lambda: self._client.trigger_runs.rerun(*self._at, trigger, trigger_run_id), translate
        )

    def _read(self, call: Any) -> Any:  # noqa: ANN401 - the SDK's models
        return read(call, translate, self._clock)

    def _pages(
        self,
        query: Any,  # noqa: ANN401 - an SDK method
        at: tuple[str, ...],
        after: datetime,
        before: datetime,
        equal: dict[str, str],
    ) -> Iterator[Row]:
        # An empty page with a token is not the end; the token goes back as it came, whole.
        token: str | None = None
        for _ in range(_MAX_PAGES):
            body = _filter(after, before, equal, token)
            rows, token = self._read(lambda body=body: _page(query(*at, body)))
            yield from rows
            if not token:
                return
        raise PlatformUnavailable(f"the query has more than {_MAX_PAGES} pages")


def _page(answer: Any) -> tuple[list[Row], str | None]:  # noqa: ANN401 - the SDK's models
    """The rows of a page, and the token of the next one."""
    return [dict(item.as_dict()) for item in answer.value], answer.continuation_token


def _is(row: Row, operand: str, value: str) -> bool:
    field = f"{operand[0].lower()}{operand[1:]}"
    return str(row.get(field, value)) == value


def _filter(after: datetime, before: datetime, equal: dict[str, str], token: str | None) -> Row:
    body: Row = {
        "lastUpdatedAfter": after.isoformat(),
        "lastUpdatedBefore": before.isoformat(),
    }
    if equal:
        body["filters"] = [
            {"operand": operand, "operator": "Equals", "values": [value]}
            for operand, value in equal.items()
        ]
    if token:
        body["continuationToken"] = token
    return body


def connect(
    factory: DataFactory,
    endpoint: str,
    token: str,
    credential: TokenCredential | None,
    clock: Clock,
    timeout: float,
) -> FactoryClient:
    """A client for `factory` at the ARM `endpoint`, by a fixed token or by identity."""
    from azure.core.pipeline.policies import RetryPolicy
    from azure.mgmt.datafactory import DataFactoryManagementClient

    options: Row = {
        "transport": transport_to(endpoint),
        "retry_policy": RetryPolicy.no_retries(),
        "connection_timeout": min(timeout, 10),
        "read_timeout": timeout,
        "credential_scopes": [f"{endpoint}/.default"],
    }
    if token:
        options["authentication_policy"] = fixed_token(token)
    client = DataFactoryManagementClient(
        credential if credential is not None else _NoCredential(),  # type: ignore[arg-type]  # unused with a fixed token
        factory.subscription_id,
        base_url=endpoint,
        **options,
    )
    return FactoryClient(factory, client, clock)


class _NoCredential:
    """Stands where the SDK wants a credential and the fixed token's policy is used instead."""


def fixed_token(token: str) -> Any:  # noqa: ANN401 - a policy class made where its base is imported
    """A policy of azure-core that sends a token as it is."""
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class FixedToken(SansIOHTTPPolicy[Any, Any]):
        def on_request(self, request: Any) -> None:  # noqa: ANN401 - azure-core's own type
            request.http_request.headers["Authorization"] = f"Bearer {token}"

    return FixedToken()


def translate(error: Exception, *, changing: bool) -> PlatformError | None:
    """azure-core's exceptions as ours."""
    from azure.core import exceptions as az

    if isinstance(error, az.HttpResponseError):
        return _answered(error, changing=changing)
    if isinstance(error, az.ServiceRequestError):  # never left this machine
        return PlatformUnavailable(f"Data Factory was not reached: {type(error).__name__}")
    if isinstance(error, az.AzureError | OSError):
        text = f"Data Factory did not answer: {type(error).__name__}"
        return ChangeInDoubt(text) if changing else PlatformUnavailable(text)
    if isinstance(error, ValueError | KeyError | TypeError | AttributeError):
        text = "Data Factory's answer is not what the API promises"
        return ChangeInDoubt(text) if changing else PlatformUnavailable(text)
    return None


def _answered(error: Any, *, changing: bool) -> PlatformError:  # noqa: ANN401 - lazy type
    status = error.status_code or 0
    code = (error.error.code if error.error else "") or ""
    said = (error.error.message if error.error else None) or error.message or ""
    text = f"Data Factory answered {status} {code}: {' '.join(said.split())[:500]}"
    if status == _THROTTLED:
        return PlatformThrottled(text, _retry_after(error.response), code)
    if status == _NOT_FOUND:
        return PlatformMissing(text, status, code)
    if _refused(status):
        return PlatformRefused(text, status, code)
    return (
        ChangeInDoubt(text, status, code) if changing else PlatformUnavailable(text, status, code)
    )


def _refused(status: int) -> bool:
    return 400 <= status < _SERVER and status != _TIMEOUT  # noqa: PLR2004 - the 4xx range


def _retry_after(response: Any) -> float | None:  # noqa: ANN401 - azure-core's own type
    raw = response.headers.get("Retry-After", "") if response is not None else ""
    return float(raw) if raw.isascii() and raw.isdigit() else None
