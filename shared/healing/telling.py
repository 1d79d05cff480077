"""Leaves messages about incidents: what is left is sent later, and never holds up a healing."""

from __future__ import annotations

from shared.healing.context import Context
from shared.models import Incident, Question
from shared.notify import messages
from shared.notify.messages import StormNews
from shared.notify.model import Link, Message


def started(context: Context, incident: Incident) -> None:
    """The first attempt of an incident begins; later ones are in its timeline."""
    if len(incident.attempts) == 1:
        _put(
            context, messages.started(incident, _url(context, incident), _owner(context, incident))
        )


def asked(context: Context, incident: Incident, question: Question) -> None:
    """A person is wanted."""
    address = context.links.approval(incident, question)
    links = (Link("Approve or refuse", address),) if address else ()
    url, owner = _url(context, incident), _owner(context, incident)
    _put(context, messages.approval_wanted(incident, question, links, url, owner))


def ended(context: Context, incident: Incident) -> None:
    """An incident is about to be closed with the state and outcome that it has."""
    _put(context, messages.closed(incident, _url(context, incident), _owner(context, incident)))


def storm_declared(context: Context, incident: Incident, what: str, members: int) -> None:
    """Many failures of one kind are one incident from now on."""
    news = StormNews(
        incident.incident_id, what, members, incident.environment, incident.failure.target
    )
    _put(context, messages.storm_declared(news, _url(context, incident), context.clock.now()))


def storm_over(context: Context, incident: Incident, what: str, members: int, healed: int) -> None:
    """A storm has ended, or was given up."""
    news = StormNews(
        incident.incident_id,
        what,
        members,
        incident.environment,
        incident.failure.target,
        released=healed,
    )
    _put(context, messages.storm_over(news, _url(context, incident), context.clock.now()))


def _url(context: Context, incident: Incident) -> str:
    return context.links.incident(incident)


def _owner(context: Context, incident: Incident) -> str:
    return messages.owner_of(context.settings.targets, incident)


def _put(context: Context, message: Message) -> None:
    context.outbox.put([message])
