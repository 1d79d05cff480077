"""How a specification differs from the one that was delivered or accepted. Pure."""

from __future__ import annotations

from typing import Any

from shared.monitoring.veil import Veil, shown
from shared.redaction import MASK, Redactor

_LONGEST = 120  # characters of a value that are shown
_MOST = 20
# What the platform writes by itself.
_OWN = frozenset({"id", "pipeline_id", "last_modified", "creator_user_name", "run_as_user_name"})
# Lists whose entries have a name of their own; their order means nothing.
_KEYS = ("task_key", "job_cluster_key", "label", "name")


def differences(
    before: Any,  # noqa: ANN401 - any JSON
    after: Any,  # noqa: ANN401 - any JSON
    veil: Veil | None = None,
) -> list[str]:
    """What changed, one line for each value, as `path: before → after`; at most 20 lines.

    Secrets are masked on both sides before anything is written, by `veil` or by names and looks.
    """
    veil = veil or Veil(Redactor())
    found = list(_changes("", veil.over(before), veil.over(after)))
    more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return found[:_MOST] + more


def _changes(path: str, before: Any, after: Any) -> list[str]:  # noqa: ANN401 - any JSON
    if _plain(before) == _plain(after):
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        return _of_objects(path, before, after)
    if isinstance(before, list) and isinstance(after, list):
        one, other = _named(before), _named(after)
        if one is not None and other is not None:
            return _of_objects(path, one, other)
    one_said, other_said = _shown(before), _shown(after)
    # With the word between, who redacts the line once more leaves "not set" alone.
    secret = " (secret)" if MASK in one_said + other_said else ""
    return [f"{path or 'value'}{secret}: {one_said} → {other_said}"]


def _of_objects(path: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name in sorted({*before, *after} - (_OWN if not path else frozenset())):
        inner = f"{path}.{name}" if path else name
        found += _changes(inner, before.get(name), after.get(name))
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """What is not set is the same as empty or off: the platform writes either."""
    return None if value in ("", [], {}) or value is False else value


def _named(entries: list[Any]) -> dict[str, Any] | None:
    """Entries by their name; None if they have none, or one twice."""
    for key in _KEYS:
        names = [entry.get(key) for entry in entries if isinstance(entry, dict)]
        if len(names) == len(entries) and all(names) and len(set(names)) == len(names):
            return {str(entry[key]): entry for entry in entries}
    return None


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON
    if value is None:
        return "not set"
    text = shown(str(value)) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
