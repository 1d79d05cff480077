"""Tells Lakemend that this job run failed: the last task of a Databricks job.

Databricks is no source of Event Grid, so the job publishes by itself. Add a task that runs this
file with `run_if: AT_LEAST_ONE_FAILED`, dependent on all others, with these parameters:

    --topic https://<topic>.<region>-1.eventgrid.azure.net/api/events
    --tenant <tenant id> --client-id <application id> --scope <secret scope> --secret <secret name>
    --workspace-id {{workspace.id}} --job-id {{job.id}} --job-name {{job.name}}
    --run-id {{job.run_id}} --repair {{job.repair_count}}

The application needs the role EventGrid Data Sender on the topic and nothing else; its password is
read from the secret scope. Nothing but the standard library and the cluster's own dbutils is used.

A job whose last task succeeds counts as succeeded, whatever failed before it. So this task fails
after it has published, and the run stays what it is: failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

_LOGIN = "https://login.microsoftonline.com"
_AUDIENCE = "https://eventgrid.azure.net/.default"
# https://learn.microsoft.com/rest/api/eventgrid/dataplane/publish-cloud-event-events
_API_VERSION = "2018-01-01"
_TIMEOUT = 30
_PAUSES = (2, 10, 30)  # seconds between tries; Event Grid takes the same event twice without harm
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


def event(options: argparse.Namespace) -> dict[str, Any]:
    """The failure as a CloudEvent with the body of a Databricks job notification.

    Its id is the same however often it is published; a repaired run that fails again has another.
    """
    return {
        "specversion": "1.0",
        "id": f"{options.workspace_id}-{options.run_id}-{options.repair}",
        "source": f"/databricks/{options.workspace_id}/jobs/{options.job_id}",
        "type": "Databricks.JobRunFailed",
        "subject": f"runs/{options.run_id}",
        "datacontenttype": "application/json",
        "data": {
            "event_type": "jobs.on_failure",
            "workspace_id": str(options.workspace_id),
            "job": {"job_id": str(options.job_id), "name": options.job_name},
            "run": {"run_id": str(options.run_id)},
        },
    }


def token(options: argparse.Namespace, password: str, send: Callable[..., Any]) -> str:
    """A token of the publishing application for Event Grid."""
    form = {
        "grant_type": "client_credentials",
        "client_id": options.client_id,
        "client_secret": password,
        "scope": _AUDIENCE,
    }
    address = f"{options.login}/{options.tenant}/oauth2/v2.0/token"
    answer = send(address, urllib.parse.urlencode(form).encode(), {})
    return str(json.loads(answer)["access_token"])


def publish(options: argparse.Namespace, password: str, send: Callable[..., Any]) -> None:
    """Publish the failure."""
    headers = {
        "Authorization": f"Bearer {token(options, password, send)}",
        "Content-Type": "application/cloudevents+json; charset=utf-8",
    }
    send(
        f"{options.topic}?api-version={_API_VERSION}", json.dumps(event(options)).encode(), headers
    )


def sender(pause: Callable[[float], None] = time.sleep) -> Callable[..., bytes]:
    """Sends one POST, again after a pause where the fault may pass."""

    def send(address: str, body: bytes, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(address, body, headers)  # noqa: S310 - checked in _options
        for wait in (*_PAUSES, None):
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                error.close()
                if wait is None or error.code not in _PASSING:
                    host = urllib.parse.urlsplit(address).hostname
                    raise SystemExit(f"{host} answered {error.code}") from None
            except OSError as error:
                if wait is None:
                    host = urllib.parse.urlsplit(address).hostname
                    raise SystemExit(f"{host} does not answer: {error}") from None
            pause(wait)
        raise AssertionError  # the last try returns or raises

    return send


def _from_scope(scope: str, name: str) -> str:
    from databricks.sdk.runtime import dbutils  # on a cluster only

    return str(dbutils.secrets.get(scope, name))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tells Lakemend that this job run failed.")
    for name in ("topic", "tenant", "client-id", "scope", "secret"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("workspace-id", "job-id", "run-id"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("--repair", default=0, type=int)
    parser.add_argument("--job-name", default="")
    parser.add_argument("--login", default=_LOGIN, help="another cloud's sign-in address")
    options = parser.parse_args(arguments)
    for name in ("topic", "login"):
        parts = urllib.parse.urlsplit(getattr(options, name))
        local = parts.hostname == "127.0.0.1"
        if not parts.hostname or parts.scheme not in ({"https", "http"} if local else {"https"}):
            parser.error(f"--{name}: expected an https:// address")
    return options


def main(
    arguments: Sequence[str],
    secret: Callable[[str, str], str] = _from_scope,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Publish, then fail on purpose.

    Raises:
        SystemExit: always: the run is to stay failed, whether it could be published or not.
    """
    options = _options(arguments)
    publish(options, secret(options.scope, options.secret), sender(pause))
    raise SystemExit(
        f"run {options.run_id} was reported; this task fails so that the run stays failed"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
