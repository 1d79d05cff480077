"""Leads the failures of Databricks jobs to Lakemend's webhook.

    python infra/databricks/subscribe.py --url https://<app>/databricks-monitor --all
    python infra/databricks/subscribe.py --url … --job 123 --job 456

Makes a notification destination (or finds the one of that name) and adds it to the jobs' failure
notifications; what is there stays. Run by a workspace administrator, signed in as the Databricks
SDK does it (DATABRICKS_HOST and a profile, token or Azure CLI). The sender key is asked for, or
read from the environment variable LAKEMEND_SENDER_KEY; it travels as the password of HTTP Basic,
which is all that a Databricks webhook can send.
https://learn.microsoft.com/azure/databricks/admin/workspace-settings/notification-destinations
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator, Sequence

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.jobs import JobSettings, Webhook, WebhookNotifications
from databricks.sdk.service.settings import Config, GenericWebhookConfig

_USER = "lakemend"
_MOST = 3  # destinations of one kind of event, at most
# https://learn.microsoft.com/azure/databricks/jobs/notifications


def destination(client: WorkspaceClient, name: str, url: str, key: str) -> str:
    """The id of the notification destination called `name`; its address and key are set anew."""
    config = Config(generic_webhook=GenericWebhookConfig(url=url, username=_USER, password=key))
    for listed in client.notification_destinations.list():
        if listed.display_name == name and listed.id:
            client.notification_destinations.update(listed.id, config=config, display_name=name)
            return listed.id
    made = client.notification_destinations.create(config=config, display_name=name)
    return str(made.id)


def subscribe(client: WorkspaceClient, job_id: int, destination_id: str) -> str:
    """Add the destination to a job's failure notifications; says what came of it.

    The job's other notifications are sent back as they were: an update replaces the whole field.
    """
    settings = client.jobs.get(job_id).settings or JobSettings()
    notifications = settings.webhook_notifications or WebhookNotifications()
    present = notifications.on_failure or []
    if any(webhook.id == destination_id for webhook in present):
        return "was subscribed"
    if len(present) >= _MOST:
        return f"NOT subscribed: it has {_MOST} destinations already, remove one"
    notifications.on_failure = [*present, Webhook(id=destination_id)]
    client.jobs.update(job_id, new_settings=JobSettings(webhook_notifications=notifications))
    return "subscribed"


def jobs(client: WorkspaceClient, named: Sequence[int]) -> Iterator[int]:
    """The jobs that are meant: the named ones, or all."""
    if named:
        yield from named
        return
    for job in client.jobs.list():
        if job.job_id:
            yield job.job_id


def main(arguments: Sequence[str], client: WorkspaceClient | None = None) -> int:
    """Subscribe; 1 when a job could not be."""
    parser = argparse.ArgumentParser(description="Leads failures of Databricks jobs to Lakemend.")
    parser.add_argument("--url", required=True, help="https://<app>/databricks-monitor")
    parser.add_argument("--name", default="lakemend", help="name of the notification destination")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--job", type=int, action="append", default=[])
    which.add_argument("--all", action="store_true")
    options = parser.parse_args(arguments)
    if not options.url.startswith("https://"):
        parser.error("--url: expected an https:// address")
    key = os.environ.get("LAKEMEND_SENDER_KEY") or getpass.getpass("sender key: ")
    client = client or WorkspaceClient()
    identity = destination(client, options.name, options.url, key)
    failed = False
    for job_id in jobs(client, options.job):
        result = subscribe(client, job_id, identity)
        failed = failed or result.startswith("NOT")
        sys.stdout.write(f"job {job_id}: {result}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
