"""Control of what stands beside the platforms: playbooks, the package index, a key vault."""

from urllib.parse import quote

from sandbox.index.packages import Packages
from sandbox.logic.playbooks import Playbook, Playbooks
from sandbox.vault.api import Secret, Vault
from sandbox.wire import Call, Json, Route, route


class ServicesControl:
    """Sets playbooks, packages and secrets up."""

    def __init__(self, playbooks: Playbooks, packages: Packages, vault: Vault) -> None:
        self._playbooks = playbooks
        self._packages = packages
        self._vault = vault

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            route("POST", "/_sandbox/playbooks", self._playbook),
            route("POST", "/_sandbox/index", self._index),
            route("POST", "/_sandbox/vault", self._secrets),
        ]

    def _playbook(self, call: Call) -> Json:
        body = call.body
        playbook = Playbook(
            body["id"],
            body["sig"],
            body.get("status", 200),
            body.get("answer"),
            body.get("effect") or {},
            body.get("enabled", True),
        )
        self._playbooks.all[playbook.workflow_id] = playbook
        path = f"/workflows/{playbook.workflow_id}/triggers/manual/paths/invoke"
        query = (
            f"api-version=2016-10-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={quote(body['sig'])}"
        )
        return {"path": f"{path}?{query}"}

    def _index(self, call: Call) -> Json:
        self._packages.load(call.body.get("packages", {}), call.body.get("yanked", {}))
        return {}

    def _secrets(self, call: Call) -> Json:
        """Store versions of secrets; `address` is where the vault is asked."""
        self._vault.address = call.body.get("address", self._vault.address)
        for one in call.body.get("secrets", []):
            secret = Secret(
                one["name"].lower(),
                one.get("version", "1"),
                one.get("attributes", {}),
                one.get("managed", False),
            )
            self._vault.add(secret)
        return {}
