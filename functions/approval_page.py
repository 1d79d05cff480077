"""The page behind a signed link: one question, and a form to answer it."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Lakemend: a question</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff; }
h1 { font-size: 1.3rem; } dt { font-weight: 600; margin-top: .6rem; } dd { margin: 0; }
dd, pre { overflow-wrap: anywhere; white-space: pre-wrap; }
pre { background: #f4f5f7; padding: .6rem; border-radius: 4px; font-size: .85rem; }
label { display: block; margin-top: .8rem; } input { width: 100%; padding: .4rem; font: inherit; }
button { font: inherit; padding: .5rem 1.2rem; margin: 1rem .8rem 0 0; border-radius: 4px;
  border: 1px solid #57606a; background: #fff; cursor: pointer; }
button[value=approve] { background: #1a7f37; border-color: #1a7f37; color: #fff; }
</style></head><body>
"""
_FORM = """<form method="post">
<label>Who answers <input name="name" required maxlength="200" autocomplete="name"></label>
<label>Note (optional) <input name="note" maxlength="1000"></label>
<button name="answer" value="approve">Approve</button>
<button name="answer" value="refuse">Refuse</button>
</form>
"""
_MOST_LINES, _LONGEST_LINE = 5, 1500


def question(incident: dict[str, Any], question_id: str, now: datetime) -> str:
    """The question as it was asked, and the form if it can still be answered.

    Args:
        incident: as JSON values, already redacted.
        question_id: the one that the link is for.
        now: decides whether it has expired.
    """
    asked = incident.get("question") or {}
    if asked.get("question_id") != question_id:
        return result("This question is no longer open: what would be done has changed.")
    diagnosis = incident.get("diagnosis") or {}
    failure = incident["failure"]
    facts = [
        ("What would be done", asked["summary"]),
        ("To", f"{failure.get('name') or failure['resource']} in {failure['target']}"),
        ("Because", f"{diagnosis.get('error_type', 'unknown')}: {diagnosis.get('because', '')}"),
        ("Why you are asked", asked["why"]),
        ("Estimated cost", f"{asked.get('cost_usd', 0.0):.2f} USD"),
        ("Expires", asked["expires_at"]),
        ("If nobody answers", asked.get("otherwise", "")),
    ]
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts)
    body = f"<h1>Shall Lakemend do this?</h1><dl>{listed}</dl>{_evidence(diagnosis)}"
    return f"{_HEAD}{body}{_state(incident, asked, now)}</body></html>\n"


def _evidence(diagnosis: dict[str, Any]) -> str:
    lines = [line for line in diagnosis.get("lines") or [] if line.get("message")]
    if not lines:
        return ""
    texts = [str(line["message"])[:_LONGEST_LINE] for line in lines[:_MOST_LINES]]
    shown = "\n".join(texts)
    return f"<p>What the platform says:</p><pre>{escape(shown)}</pre>"


def _state(incident: dict[str, Any], asked: dict[str, Any], now: datetime) -> str:
    if asked.get("answered_by"):
        said = "Approved" if asked.get("approved") else "Refused"
        return f"<p><strong>{said} by {escape(asked['answered_by'])}.</strong></p>"
    over = incident.get("closed_at") or datetime.fromisoformat(asked["expires_at"]) <= now
    return "<p><strong>This question has expired.</strong></p>" if over else _FORM


def result(words: str) -> str:
    """A page that says one thing."""
    return f"{_HEAD}<h1>Lakemend</h1><p>{escape(words)}</p></body></html>\n"


def unknown() -> str:
    """The page for a link that we have not signed."""
    return result("This link is not known here.")
