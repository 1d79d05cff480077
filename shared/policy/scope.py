"""Which work the policy is for, and which work may run twice.

Opting in: `include: [{tags: {lakemend: "on"}}]` looks after what carries that tag and nothing else.
Opting out: `exclude: [{tags: {lakemend: "off"}}]` leaves alone what carries that tag; exclusion is
the stronger word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from shared.policy.model import Policy, Selector
from shared.vocabulary import FailureKind

# The field of a selector that names work of a kind.
_NAMED_BY = {
    FailureKind.PIPELINE_RUN: "pipelines",
    FailureKind.UPDATE: "pipelines",
    FailureKind.JOB_RUN: "jobs",
    FailureKind.CLUSTER: "clusters",
    FailureKind.LIBRARY: "clusters",
}
_NAMES = ("pipelines", "jobs", "clusters")


class Work(msgspec.Struct, frozen=True):
    """What failed, as the policy sees it.

    `resource` is its id on the platform (pipeline name, job id, cluster id, pipeline id), `name`
    what people call it; `tags` are those of the target and of the job or cluster together.
    """

    target: str
    environment: str
    kind: FailureKind
    resource: str = ""
    name: str = ""
    tags: dict[str, str] = {}


def matches(selector: Selector, work: Work) -> bool:
    """Whether `selector` means `work`. One without any field means everything."""
    return (
        _one_of(selector.targets, work.target)
        and _one_of(selector.environments, work.environment)
        and _named(selector, work)
        and all(_tagged(work.tags, tag, pattern) for tag, pattern in selector.tags.items())
    )


def in_scope(policy: Policy, work: Work) -> str:
    """Empty if `work` is looked after, else the words why not."""
    for position, selector in enumerate(policy.scope.exclude):
        if matches(selector, work):
            return f"scope.exclude.{position} leaves it out ({_described(selector)})"
    include = policy.scope.include
    if include and not any(matches(selector, work) for selector in include):
        return "no entry of scope.include takes it in"
    return ""


def rerunnable(policy: Policy, work: Work) -> bool | None:
    """Whether running `work` twice does no harm; None where nobody has declared it."""
    entries = (entry for entry in policy.rerunnable if matches(entry.match, work))
    first = next(entries, None)
    return None if first is None else first.rerunnable


def _named(selector: Selector, work: Work) -> bool:
    if not any(getattr(selector, field) for field in _NAMES):
        return True
    patterns: Sequence[str] = getattr(selector, _NAMED_BY.get(work.kind, ""), ())
    return any(_like(pattern, text) for pattern in patterns for text in (work.name, work.resource))


def _one_of(patterns: Sequence[str], text: str) -> bool:
    return not patterns or any(_like(pattern, text) for pattern in patterns)


def _tagged(tags: Mapping[str, str], tag: str, pattern: str) -> bool:
    # Azure compares names of tags without regard to case.
    # https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources
    return any(name.lower() == tag.lower() and _like(pattern, v) for name, v in tags.items())


def _like(pattern: str, text: str) -> bool:
    return fnmatchcase(text.lower(), pattern.lower())


def _described(selector: Selector) -> str:
    fields = ("targets", "environments", *_NAMES)
    named = [f"{field} {', '.join(p)}" for field in fields if (p := getattr(selector, field))]
    named += [f"tag {tag}={pattern}" for tag, pattern in selector.tags.items()]
    return "; ".join(named) or "everything"


def uses_tags(policy: Policy) -> bool:
    """Whether any selector asks for tags: then the platform has to be asked for them, too."""
    selectors = [*policy.scope.include, *policy.scope.exclude]
    selectors += [entry.match for entry in policy.rerunnable]
    selectors += [window.match for window in policy.windows]
    return any(selector.tags for selector in selectors)
