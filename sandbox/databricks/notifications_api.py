"""notification-destinations/*: where a workspace may send notifications to."""

from typing import Any

from sandbox.databricks.errors import conflict, not_found
from sandbox.databricks.requests import need, page_state
from sandbox.ids import Ids
from sandbox.wire import Call, Json, Route, encode_token, route

PAGE = 20
TYPES = {"generic_webhook": "WEBHOOK", "email": "EMAIL", "slack": "SLACK"}
HIDDEN = ("url", "username", "password")


class NotificationsApi:
    """Answers for notification destinations; what is secret in them is never shown again."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._all: dict[str, Json] = {}

    def routes(self) -> list[Route]:
        """Return what is served here."""
        base = r"/api/2\.0/notification-destinations"
        return [
            route("POST", base, self._create),
            route("GET", base, self._list),
            route("GET", base + "/{name}", self._get),
            route("PATCH", base + "/{name}", self._update),
            route("DELETE", base + "/{name}", self._delete),
        ]

    def _create(self, call: Call) -> Json:
        name, config = need(call.body, "display_name"), need(call.body, "config")
        if any(entry["display_name"] == name for entry in self._all.values()):
            raise conflict(f"A notification destination named {name} exists already.")
        entry = {"id": self._ids.guid(), "display_name": name, "config": config}
        self._all[entry["id"]] = entry
        return shown(entry)

    def _list(self, call: Call) -> Json:
        offset = page_state(call.text("page_token")).get("offset", 0)
        part = list(self._all.values())[offset : offset + PAGE]
        names = ("id", "display_name", "destination_type")
        rows = [{k: v for k, v in shown(entry).items() if k in names} for entry in part]
        answer: Json = {"results": rows}
        if offset + PAGE < len(self._all):
            answer["next_page_token"] = encode_token({"offset": offset + PAGE})
        return answer

    def _get(self, call: Call) -> Json:
        return shown(self._named(call))

    def _update(self, call: Call) -> Json:
        entry = self._named(call)
        entry.update({k: call.body[k] for k in ("display_name", "config") if k in call.body})
        return shown(entry)

    def _delete(self, call: Call) -> Json:
        del self._all[self._named(call)["id"]]
        return {}

    def _named(self, call: Call) -> Json:
        name = call.params["name"]
        if name not in self._all:
            raise not_found(f"Notification destination {name} does not exist.")
        return self._all[name]


def shown(entry: Json) -> Json:
    """Write a destination without its address and password."""
    kind = next(iter(entry["config"]))
    given: dict[str, Any] = entry["config"][kind]
    open_fields = {k: v for k, v in given.items() if k not in HIDDEN}
    marks = {f"{k}_set": True for k in HIDDEN if given.get(k)}
    config = {kind: {**open_fields, **marks}}
    return {**entry, "config": config, "destination_type": TYPES.get(kind, "WEBHOOK")}
