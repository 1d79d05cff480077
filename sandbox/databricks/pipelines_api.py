"""pipelines/* over HTTP."""

import re
from collections.abc import Callable

from sandbox.clock import iso
from sandbox.databricks.access import Access
from sandbox.databricks.errors import invalid_parameter, not_found
from sandbox.databricks.event_filter import parse_filter, parse_order
from sandbox.databricks.pipeline_models import Pipeline, Update
from sandbox.databricks.pipelines import Pipelines
from sandbox.databricks.requests import number_of, page_state
from sandbox.wire import Call, Json, Route, encode_token, route

LATEST = 5
_LIKE = re.compile(r"name\s+LIKE\s+'((?:[^']|'')*)'", re.IGNORECASE)


class PipelinesApi:
    """Answers for pipelines, updates and events."""

    def __init__(self, pipelines: Pipelines, access: Access) -> None:
        self._pipelines = pipelines
        self._access = access

    def routes(self) -> list[Route]:
        """Return what is served here."""
        base = r"/api/2\.0/pipelines"
        one = base + "/{pipeline_id}"
        return [
            route("POST", base, self._create),
            route("GET", base, self._list),
            route("GET", one, self._get),
            route("PUT", one, self._edit),
            route("DELETE", one, self._delete),
            route("POST", one + "/updates", self._start),
            route("GET", one + "/updates", self._updates),
            route("GET", one + "/updates/{update_id}", self._update),
            route("POST", one + "/stop", self._stop),
            route("GET", one + "/events", self._events),
        ]

    def _named(self, call: Call) -> Pipeline:
        pipeline = self._pipelines.get(call.params["pipeline_id"])
        self._access.check("pipeline", pipeline.pipeline_id)
        return pipeline

    def _create(self, call: Call) -> Json:
        return {"pipeline_id": self._pipelines.create(call.body).pipeline_id}

    def _list(self, call: Call) -> Json:
        named = name_test(call.text("filter"))
        views = [list_view(x) for x in self._pipelines.all.values() if named(x)]
        return page_of("statuses", views, call)

    def _get(self, call: Call) -> Json:
        pipeline = self._named(call)
        return {
            **list_view(pipeline),
            "spec": pipeline.spec,
            "last_modified": pipeline.last_modified,
        }

    def _edit(self, call: Call) -> Json:
        self._pipelines.edit(self._named(call), call.body)
        return {}

    def _delete(self, call: Call) -> Json:
        self._pipelines.delete(self._named(call))
        return {}

    def _start(self, call: Call) -> Json:
        pipeline = self._named(call)
        cause = call.body.get("cause", "API_CALL")
        update = self._pipelines.start(pipeline.pipeline_id, call.body, cause)
        return {"update_id": update.update_id}

    def _updates(self, call: Call) -> Json:
        updates = list(reversed(self._named(call).updates))
        until = call.text("until_update_id")
        if until is not None:
            updates = up_to(updates, until)
        return page_of("updates", [update_view(update) for update in updates], call)

    def _update(self, call: Call) -> Json:
        wanted = call.params["update_id"]
        for update in self._named(call).updates:
            if update.update_id == wanted:
                return {"update": update_view(update)}
        raise not_found(f"The specified update {wanted} was not found.")

    def _stop(self, call: Call) -> Json:
        self._pipelines.stop(self._named(call))
        return {}

    def _events(self, call: Call) -> Json:
        pipeline = self._named(call)
        token = call.text("page_token")
        if token and set(call.query) - {"page_token", "max_results"}:
            raise invalid_parameter(
                "page_token is mutually exclusive with all fields except max_results."
            )
        asked = page_state(token) or {
            "filter": call.text("filter"),
            "order_by": call.query.get("order_by", []),
        }
        return events_page(pipeline, asked, number_of(call, "max_results", 25) or 25)


def name_test(text: str | None) -> Callable[[Pipeline], bool]:
    """Read the filter of a listing: `name LIKE '...'` with % as the wildcard."""
    if not text:
        return lambda _: True
    found = _LIKE.fullmatch(text.strip())
    if found is None:
        raise invalid_parameter(f"Invalid filter: {text}")
    parts = [re.escape(part) for part in found.group(1).replace("''", "'").split("%")]
    pattern = re.compile(".*".join(parts))
    return lambda pipeline: pattern.fullmatch(str(pipeline.spec.get("name", ""))) is not None


def events_page(pipeline: Pipeline, asked: Json, size: int) -> Json:
    """Return one page of events; its token carries filter and order."""
    events = list(pipeline.events)
    if asked.get("filter"):
        test = parse_filter(asked["filter"])
        events = [event for event in events if test(event)]
    if parse_order(asked.get("order_by", [])):
        events.reverse()
    offset = asked.get("offset", 0)
    answer: Json = {"events": events[offset : offset + size]}
    if offset + size < len(events):
        answer["next_page_token"] = encode_token({**asked, "offset": offset + size})
    return answer


def page_of(name: str, items: list[Json], call: Call) -> Json:
    """Return one page of a listing."""
    offset = page_state(call.text("page_token")).get("offset", 0)
    size = number_of(call, "max_results", 25) or 25
    answer: Json = {name: items[offset : offset + size]}
    if offset + size < len(items):
        answer["next_page_token"] = encode_token({"offset": offset + size})
    return answer


def up_to(updates: list[Update], until: str) -> list[Update]:
    """Cut a listing after the named update: 'until and including this update_id'."""
    names = [update.update_id for update in updates]
    return updates[: names.index(until) + 1] if until in names else updates


def list_view(pipeline: Pipeline) -> Json:
    """Write a pipeline as a listing does."""
    latest = [
        {"update_id": x.update_id, "state": x.state, "creation_time": iso(x.creation_time / 1000)}
        for x in reversed(pipeline.updates[-LATEST:])
    ]
    return {
        "pipeline_id": pipeline.pipeline_id,
        "name": pipeline.spec.get("name", ""),
        "state": pipeline.state(),
        "health": "UNHEALTHY" if pipeline.state() == "FAILED" else "HEALTHY",
        "creator_user_name": "sandbox@example.com",
        "run_as_user_name": pipeline.run_as,
        "latest_updates": latest,
    }


def update_view(update: Update) -> Json:
    """Write an update; the API's UpdateInfo does not tell which checkpoints were reset."""
    asked = ("full_refresh_selection", "refresh_selection", "parameters")
    return {
        "pipeline_id": update.pipeline_id,
        "update_id": update.update_id,
        "cause": update.cause,
        "state": update.state,
        "creation_time": update.creation_time,
        "config": update.config,
        "full_refresh": bool(update.request.get("full_refresh")),
        "validate_only": bool(update.request.get("validate_only")),
        **{name: update.request[name] for name in asked if update.request.get(name)},
    }
