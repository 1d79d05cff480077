"""interim"""
from __future__ import annotations
from shared.policy.scope import matches
def open_window(p, w, now):
    return next((x for x in p.windows if matches(x.match, w) and x.start and x.start <= now < x.end), None)
def ends_at(window, now):
    return window.end
