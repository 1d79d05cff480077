"""One key vault over HTTP: lists of secrets and of their versions. It holds no values at all."""

from dataclasses import dataclass, field

from sandbox.wire import ApiError, Call, Json, Route, decode_token, encode_token, route

PAGE = 25


@dataclass
class Secret:
    """One version of a secret or, where it is managed, of a certificate."""

    name: str
    version: str
    attributes: Json
    managed: bool = False


@dataclass
class Vault:
    """What a vault holds, oldest version first."""

    address: str = ""
    secrets: dict[str, list[Secret]] = field(default_factory=dict)

    def add(self, secret: Secret) -> None:
        """Store a version."""
        self.secrets.setdefault(secret.name, []).append(secret)


class VaultApi:
    """Answers for the vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            route("GET", "/secrets", self._list),
            route("GET", "/secrets/{name}/versions", self._versions),
            route("GET", "/secrets/{name}", self._value),
        ]

    def _list(self, call: Call) -> Json:
        newest = [versions[-1] for versions in self._vault.secrets.values()]
        return self._page(call, "/secrets", [self._view(one, one.name) for one in newest])

    def _versions(self, call: Call) -> Json:
        name = call.params["name"]
        versions = self._vault.secrets.get(name.lower())
        if versions is None:
            raise unknown(name)
        views = [self._view(one, f"{one.name}/{one.version}") for one in versions]
        return self._page(call, f"/secrets/{name}/versions", views)

    def _value(self, call: Call) -> Json:
        raise forbidden(call.params["name"])

    def _view(self, secret: Secret, path: str) -> Json:
        view: Json = {
            "id": f"{self._vault.address}/secrets/{path}",
            "attributes": {"enabled": True} | secret.attributes,
        }
        return view | ({"managed": True} if secret.managed else {})

    def _page(self, call: Call, path: str, rows: list[Json]) -> Json:
        version = call.text("api-version")
        if version is None:
            raise ApiError(400, error("BadParameter", "api-version was not specified"))
        token = call.text("$skiptoken")
        start = int(decode_token(token)["start"]) if token else 0
        after = start + PAGE
        link = None
        if after < len(rows):
            token = encode_token({"start": after})
            link = f"{self._vault.address}{path}?api-version={version}&$skiptoken={token}"
        return {"value": rows[start:after], "nextLink": link}


def unknown(name: str) -> ApiError:
    """Return the refusal of a secret that is not there."""
    text = f"A secret with (name/id) {name} was not found in this key vault."
    return ApiError(404, error("SecretNotFound", text))


def forbidden(name: str) -> ApiError:
    """Return the refusal of a value to who may only list."""
    text = f"Caller is not authorized to perform action on resource {name}."
    return ApiError(403, error("Forbidden", text))


def error(code: str, message: str) -> Json:
    """Write an error as the vault does."""
    return {"error": {"code": code, "message": message}}
