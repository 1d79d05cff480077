"""Rendering: plain text that no chat or mail program takes for markup.

Every channel is told that the text is plain, so that the library escapes it for HTML, Slack and
Markdown. Some chats render a plain text all the same (Discord, Mattermost, titles in Teams): what
would be a mention, a tag, a link with another label or an image is broken by an invisible space.
"""

from __future__ import annotations

import re
import unicodedata

from shared.notify.messages import Message

_BREAK = "\u200b"  # zero-width space
_MENTION = re.compile(
    r"(?i)(?<![\w.+-])@(?=\w)"  # a mention at the beginning of a word; not an e-mail address
    r"|@(?=everyone|here|channel|all\b)"  # wherever it stands
)
_TAG = re.compile(r"<(?=[!@#/\w?:|])")
_LABELLED = re.compile(r"\](?=[(\[:])")
# Characters that change the direction or hide what stands there.
_KEPT = frozenset("\n\t")


def inert(text: str) -> str:
    """`text` with nothing in it that mentions, links under another label, embeds or hides."""
    visible = "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in {"Cc", "Cf"})
    for pattern in (_MENTION, _TAG, _LABELLED):
        visible = pattern.sub(lambda found: found.group() + _BREAK, visible)
    return visible


def title_of(message: Message) -> str:
    """The title as it is sent, on one line."""
    return inert(" ".join(message.title.split()))


def body_of(message: Message) -> str:
    """The body as it is sent, our own links under it."""
    links = [f"{inert(link.label)}: {link.url}" for link in message.own_links]
    return "\n".join([inert(message.body), *links])
