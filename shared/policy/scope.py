"""interim"""
from __future__ import annotations
from fnmatch import fnmatchcase
import msgspec
from shared.policy.model import Policy, Selector
from shared.vocabulary import FailureKind

class Work(msgspec.Struct, frozen=True):
    target: str
    environment: str
    tags: dict[str, str]
    kind: FailureKind
    resource: str
    name: str = ""

def _m(patterns, *vals):
    return any(fnmatchcase(v.lower(), p.lower()) for p in patterns for v in vals if v)

def matches(sel: Selector, w: Work) -> bool:
    if sel.targets and not _m(sel.targets, w.target): return False
    if sel.environments and not _m(sel.environments, w.environment): return False
    if sel.pipelines and not (w.kind in {FailureKind.PIPELINE_RUN, FailureKind.UPDATE} and _m(sel.pipelines, w.resource, w.name)): return False
    if sel.jobs and not (w.kind is FailureKind.JOB_RUN and _m(sel.jobs, w.resource, w.name)): return False
    if sel.clusters and not (w.kind in {FailureKind.CLUSTER, FailureKind.LIBRARY} and _m(sel.clusters, w.resource, w.name)): return False
    return all(k in w.tags and fnmatchcase(w.tags[k].lower(), v.lower()) for k, v in sel.tags.items())

def in_scope(p: Policy, w: Work) -> str:
    if p.scope.include and not any(matches(s, w) for s in p.scope.include): return "nothing in the policy's scope includes it"
    if any(matches(s, w) for s in p.scope.exclude): return "the policy's scope excludes it"
    return ""

def rerunnable(p: Policy, w: Work):
    return next((e.rerunnable for e in p.rerunnable if matches(e.match, w)), None)

def uses_tags(p: Policy) -> bool:
    sels = [*p.scope.include, *p.scope.exclude, *[e.match for e in p.rerunnable], *[w.match for w in p.windows]]
    return any(s.tags for s in sels)
