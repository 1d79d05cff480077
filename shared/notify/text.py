"""Rendering: plain text that no chat or mail program takes for markup.

Every channel is told that the text is plain, so that the library escapes it for HTML, Slack and
Markdown. Some chats render a plain text all the same (Discord, Mattermost, titles in Teams): what
would be a mention, a tag, a link with another label or an image is broken by an invisible space.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from shared.notify.model import Message

_BREAK = "\u200b"  # zero-width space
_MENTION = re.compile(
    r"(?i)(?<![\w.+-])@(?=\w)"  # a mention at the beginning of a word; not an e-mail address
    r"|@(?=everyone|here|channel|all\b)"  # wherever it stands
)
_TAG = re.compile(r"<(?=[!@#/\w?:|])")
_LABELLED = re.compile(r"\](?=[(\[:])")
_KEPT = frozenset("\n\t")


def visible(text: str) -> str:
    """`text` without control and format characters: they hide what stands there."""
    return "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in {"Cc", "Cf"})


def inert(text: str) -> str:
    """`text` with nothing in it that mentions, links under another label, embeds or hides."""
    shown = visible(text)
    for pattern in (_MENTION, _TAG, _LABELLED):
        shown = pattern.sub(lambda found: found.group() + _BREAK, shown)
    return shown


def title_of(message: Message) -> str:
    """The title as it is sent, on one line."""
    return inert(" ".join(message.title.split()))


def plain_body(message: Message) -> str:
    """The body for channels of plain text, our own links under it."""
    links = [f"{inert(link.label)}: {link.url}" for link in message.own_links]
    return "\n".join([inert(message.body), *links])


def markdown_body(message: Message) -> str:
    """The body for channels that render Markdown: nothing of the text is markup, the links are."""
    links = [f"[{_escaped(link.label)}]({quote(link.url, _IN_LINK)})" for link in message.own_links]
    lines = [_escaped(line) for line in message.body.splitlines()]
    return "\n\n".join([*lines, *links])


_MARKDOWN = re.compile(r"([\\`*_\[\](){}<>#|~!&])")
_IN_LINK = ":/?&=%#+@,;~!$-._"  # what may stand in the address of a link


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", inert(text))
