"""The addresses of HTTP request triggers; who may call is told by the signature in them."""

import hmac

from sandbox.logic.errors import (
    api_version_missing,
    signature_missing,
    signature_wrong,
    trigger_disabled,
    two_schemes,
)
from sandbox.logic.playbooks import Playbook, Playbooks
from sandbox.wire import Answer, Call, Route, route


class LogicApi:
    """Answers for workflows."""

    def __init__(self, playbooks: Playbooks) -> None:
        self._playbooks = playbooks

    def routes(self) -> list[Route]:
        """Return what is served here."""
        path = "/workflows/{workflow_id}/triggers/manual/paths/invoke"
        return [route("POST", path, self._invoke)]

    def _invoke(self, call: Call) -> Answer:
        if call.text("api-version") is None:
            raise api_version_missing()
        check_scheme(call)
        playbook = self._playbooks.get(call.params["workflow_id"])
        check_signature(call, playbook)
        if not playbook.enabled:
            raise trigger_disabled(playbook.workflow_id)
        return self._playbooks.invoke(playbook, call.body)


def check_scheme(call: Call) -> None:
    """Refuse a caller that is known by no signature, or by more than one."""
    if not all(call.text(name) for name in ("sp", "sv", "sig")):
        raise signature_missing()
    if call.authorization is not None:
        raise two_schemes()


def check_signature(call: Call, playbook: Playbook) -> None:
    """Refuse a signature that is not this workflow's."""
    given = (call.text("sig") or "").encode()
    granted = call.text("sp") == "/triggers/manual/run" and call.text("sv") == "1.0"
    if not (granted and hmac.compare_digest(given, playbook.signature.encode())):
        raise signature_wrong()
