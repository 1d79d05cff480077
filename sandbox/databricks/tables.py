"""Unity Catalog's tables, as far as that they are there, and tables/* over HTTP."""

from sandbox.clock import Timeline, iso
from sandbox.databricks.access import Access
from sandbox.databricks.errors import invalid_parameter, refusal
from sandbox.ids import Ids
from sandbox.wire import Call, Json, Route, route

PARTS = 3
OWNER = "sandbox@example.com"


class Tables:
    """All tables of the metastore; the case of a name does not matter."""

    def __init__(self, timeline: Timeline, ids: Ids) -> None:
        self.all: dict[str, Json] = {}
        self.versions: dict[str, list[Json]] = {}
        self._timeline = timeline
        self._ids = ids

    def has(self, full_name: str) -> bool:
        """Say whether a table is there."""
        return full_name.lower() in self.all

    def add(self, full_name: str) -> None:
        """Register a table, in the place of any of that name.

        Raises:
            ValueError: The name does not have three parts.
        """
        catalog, schema, name = split(full_name)
        now = self._timeline.now_ms()
        self.all[full_name.lower()] = {
            "name": name,
            "catalog_name": catalog,
            "schema_name": schema,
            "full_name": f"{catalog}.{schema}.{name}",
            "table_type": "MANAGED",
            "data_source_format": "DELTA",
            "table_id": self._ids.guid(),
            "owner": OWNER,
            "created_at": now,
            "created_by": OWNER,
            "updated_at": now,
        }
        self._version(full_name, "CREATE TABLE")
        self._timeline.mark()

    def write(self, full_name: str) -> None:
        """Write rows to a table, which is made if it is not there."""
        if not self.has(full_name):
            self.add(full_name)
        self.all[full_name.lower()]["updated_at"] = self._timeline.now_ms()
        self._version(full_name, "STREAMING UPDATE")
        self._timeline.mark()

    def _version(self, full_name: str, operation: str) -> None:
        known = self.versions.setdefault(full_name.lower(), [])
        at = iso(self._timeline.now())
        known.append({"version": str(len(known)), "timestamp": at, "operation": operation})


class TablesApi:
    """Answers for tables."""

    def __init__(self, tables: Tables, access: Access) -> None:
        self._tables = tables
        self._access = access

    def routes(self) -> list[Route]:
        """Return what is served here."""
        one = r"/api/2\.1/unity-catalog/tables/{full_name}"
        return [route("GET", one, self._get), route("GET", f"{one}/exists", self._exists)]

    def _name(self, call: Call) -> str:
        name = call.params["full_name"].lower()
        try:
            split(name)
        except ValueError as error:
            raise invalid_parameter(f"'{name}' is not a valid table name.") from error
        self._access.check("table", name)
        return name

    def _get(self, call: Call) -> Json:
        name = self._name(call)
        if not self._tables.has(name):
            raise refusal(404, "TABLE_DOES_NOT_EXIST", f"Table '{name}' does not exist.")
        return self._tables.all[name]

    def _exists(self, call: Call) -> Json:
        return {"table_exists": self._tables.has(self._name(call))}


def split(full_name: str) -> list[str]:
    """Take a name of three parts apart.

    Raises:
        ValueError: It has more or fewer.
    """
    parts = full_name.split(".")
    if len(parts) != PARTS or not all(parts):
        raise ValueError(full_name)
    return parts
