"""Unity Catalog's catalogs, schemas and grants, over HTTP."""

from sandbox.clock import Timeline
from sandbox.databricks.access import Access
from sandbox.databricks.errors import refusal
from sandbox.databricks.tables import OWNER
from sandbox.wire import Call, Json, Route, route


class Governance:
    """Which catalogs and schemas there are, and who was granted what on them."""

    def __init__(self, timeline: Timeline) -> None:
        self.all: dict[str, Json] = {}
        self.grants: dict[str, dict[str, set[str]]] = {}
        self._timeline = timeline

    def add(self, full_name: str, owner: str = OWNER) -> None:
        """Register a schema and its catalog."""
        catalog, _, schema = full_name.partition(".")
        self.all.setdefault(catalog, {"name": catalog, "full_name": catalog, "owner": OWNER})
        if schema:
            root = "abfss://lake@account.dfs.core.windows.net/managed"
            self.all[full_name] = {
                "name": schema,
                "catalog_name": catalog,
                "full_name": full_name,
                "owner": owner,
                "storage_location": root,
            }
        self._timeline.mark()


class GovernanceApi:
    """Answers for catalogs, schemas and their grants."""

    def __init__(self, governance: Governance, access: Access) -> None:
        self._governance = governance
        self._access = access

    def routes(self) -> list[Route]:
        """Return what is served here."""
        base = r"/api/2\.1/unity-catalog"
        return [
            route("GET", base + "/catalogs/{name}", self._get),
            route("GET", base + "/schemas/{name}", self._get),
            route("GET", base + "/permissions/{kind}/{name}", self._granted),
            route("PATCH", base + "/permissions/{kind}/{name}", self._grant),
        ]

    def _get(self, call: Call) -> Json:
        name = call.params["name"]
        kind = "schema" if "." in name else "catalog"
        self._access.check(kind, name)
        found = self._governance.all.get(name)
        if found is None:
            code = f"{kind.upper()}_DOES_NOT_EXIST"
            raise refusal(404, code, f"{kind.capitalize()} '{name}' does not exist.")
        return found

    def _granted(self, call: Call) -> Json:
        self._get(call)
        granted = self._governance.grants.get(call.params["name"], {})
        rows = [{"principal": who, "privileges": sorted(what)} for who, what in granted.items()]
        return {"privilege_assignments": rows}

    def _grant(self, call: Call) -> Json:
        self._get(call)
        granted = self._governance.grants.setdefault(call.params["name"], {})
        for change in call.body.get("changes", []):
            held = granted.setdefault(change["principal"], set())
            held |= set(change.get("add", []))
            held -= set(change.get("remove", []))
        return self._granted(call)
