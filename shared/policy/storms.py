"""Storms: many failures of one kind within minutes are the platform's trouble, not each work's.

While a storm is on, its members are held and one of them at a time is let through as a probe, at
growing intervals. When a probe heals, the others are let go gradually. Pure: changes the document
that it is given, and nothing else.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from shared.policy.model import StormTerms


class StormState(StrEnum):
    """Where a storm is in its life."""

    NONE = ""
    ON = "on"
    RELEASING = "releasing"
    OVER = "over"
    GIVEN_UP = "given_up"


class Storm(msgspec.Struct, omit_defaults=True):
    """The newest storm of one kind: one error type in one factory or workspace."""

    incident_id: str = ""  # that stands for it
    target: str = ""
    error_type: str = ""
    state: StormState = StormState.NONE
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    probe: str = ""  # the incident that is let through to try
    probe_asks: bool = False  # a person has to be asked first: who need not ask may take its place
    probes: int = 0
    next_probe_at: datetime | None = None
    released_at: datetime | None = None
    released: list[str] = []


class Admission(msgspec.Struct, frozen=True):
    """Whether an incident may go on. `over`: the storm was given up, its members go to people."""

    held: bool = False
    over: bool = False
    probe: bool = False
    delay: float = 0.0  # seconds until to ask again
    storm: str = ""  # the storm's incident, empty if there is none
    words: str = ""


FREE = Admission()


def declare(storm: Storm, incident_id: str, target: str, error_type: str, now: datetime) -> bool:
    """Open a storm; False if one is on."""
    if storm.state in {StormState.ON, StormState.RELEASING}:
        return False
    storm.incident_id, storm.target, storm.error_type = incident_id, target, error_type
    storm.state, storm.opened_at, storm.ended_at = StormState.ON, now, None
    storm.probe, storm.probe_asks, storm.probes, storm.next_probe_at = "", False, 0, now
    storm.released_at, storm.released = None, []
    return True


def admit(
    terms: StormTerms, storm: Storm, incident_id: str, now: datetime, *, asks: bool = False
) -> Admission:
    """Whether a member may go on now; makes it the probe, or lets it go, where it is time.

    `asks`: it would have to ask a person first.
    """
    if storm.state is StormState.ON:
        return _while_on(terms, storm, incident_id, now, asks=asks)
    if storm.state is StormState.RELEASING:
        return _while_releasing(terms, storm, incident_id, now)
    return FREE


def _while_on(
    terms: StormTerms, storm: Storm, incident_id: str, now: datetime, *, asks: bool
) -> Admission:
    begun = storm.opened_at or now
    if (now - begun).total_seconds() > terms.gives_up:
        words = f"the storm {storm.incident_id} did not end in {terms.gives_up / 3600:g} h"
        return Admission(held=True, over=True, storm=storm.incident_id, words=words)
    due = storm.next_probe_at or now
    free = not storm.probe and now >= due
    if free or (storm.probe_asks and not asks):
        storm.probes += free
        storm.probe = incident_id
    if storm.probe == incident_id:
        storm.probe_asks = asks
        return Admission(probe=True, storm=storm.incident_id)
    wait = (due - now).total_seconds() if not storm.probe else 0.0
    words = f"many failures of this kind at once: held by the storm {storm.incident_id}"
    delay = min(max(wait, 1.0), terms.release_every) if wait else terms.release_every
    return Admission(held=True, delay=delay, storm=storm.incident_id, words=words)


def _while_releasing(terms: StormTerms, storm: Storm, incident_id: str, now: datetime) -> Admission:
    if incident_id in storm.released:
        return Admission(storm=storm.incident_id)
    elapsed = (now - (storm.released_at or now)).total_seconds()
    doublings = min(int(elapsed // terms.release_every), _MOST_DOUBLINGS)
    if len(storm.released) < terms.release * 2**doublings:
        storm.released = [*storm.released, incident_id]
        return Admission(storm=storm.incident_id)
    words = f"let go gradually after the storm {storm.incident_id}"
    return Admission(held=True, delay=terms.release_every, storm=storm.incident_id, words=words)


_MOST_DOUBLINGS = 20


def conclude(
    terms: StormTerms, storm: Storm, incident_id: str, now: datetime, *, healed: bool
) -> bool:
    """Note how an attempt of a member ended; True if the storm changed by it."""
    probing = storm.state is StormState.ON and storm.probe == incident_id
    relapsed = storm.state is StormState.RELEASING and incident_id in storm.released and not healed
    if not probing and not relapsed:
        return False
    storm.probe, storm.probe_asks = "", False
    if healed:
        storm.state, storm.released_at = StormState.RELEASING, now
        storm.released = [incident_id]
        return True
    pause = terms.probes[min(max(storm.probes, 1), len(terms.probes)) - 1]
    storm.state, storm.next_probe_at = StormState.ON, now + timedelta(seconds=pause)
    return True


def withdraw(storm: Storm, incident_id: str, now: datetime) -> bool:
    """Note that a probe tries nothing after all, so that another may; True if it was the probe."""
    if storm.state is not StormState.ON or storm.probe != incident_id:
        return False
    storm.probe, storm.probe_asks = "", False
    storm.probes, storm.next_probe_at = storm.probes - 1, now
    return True


def end(storm: Storm, now: datetime, state: StormState) -> bool:
    """End a storm, as over or given up; False if none is on."""
    if storm.state not in {StormState.ON, StormState.RELEASING}:
        return False
    storm.state, storm.ended_at, storm.probe = state, now, ""
    return True
