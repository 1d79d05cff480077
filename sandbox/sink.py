"""A receiver of webhooks: keeps what it is sent, so that tests can read it back."""

from sandbox.wire import Call, Json, Route, route


class Sinks:
    """All receivers, by the first part of their address; a chat's own path may follow it."""

    def __init__(self) -> None:
        self.received: dict[str, list[Json]] = {}

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [route("POST", "/sink/{name}(?:/.*)?", self._receive)]

    def _receive(self, call: Call) -> Json:
        self.received.setdefault(call.params["name"], []).append(call.body)
        return {}
