"""Text as it is read: bounded, with plain letters, in the parts of its chain of causes."""

from __future__ import annotations

import re
import unicodedata

from shared.diagnosis.matcher import regex

# Characters of one message that are looked at: errors say what they are early, and stack traces
# name their innermost cause late.
MAX_HEAD = 14_000
MAX_TAIL = 6_000
# Where the next inner cause begins in Java's, .NET's, Python's and ADF's chains.
_INNER = (
    r"(?i)(\bCaused by:|--->|\bInner activity name:|\bInner exception\b|,''Type="
    r"|During handling of the above exception|The above exception was the direct cause)"
)
# Lines of a log that tell of no failure: what is below a log's level of errors, Python's warnings,
# pip's advice.
_NOISE = (
    r"^\s*(?:\[?\d{2,4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\S{0,12}\s+(?:\[[^\]]{1,60}\]\s+)?"
    r"(?:WARN(?:ING)?|INFO|DEBUG|TRACE)\b"
    r"|(?:WARN(?:ING)?|INFO|DEBUG|DEPRECATION)\b[: ]"
    r"|(?:\S{1,200} )?[A-Za-z]{0,20}(?:Deprecation|Future|User|Runtime|Resource|Import)Warning: )"
)
# Between a log's noise and what is left of it; no text has one, since it counts as white space.
_ASIDE = "\x1e"
# The ways in which drivers write a database's error number, and its SQLSTATE of a class that all
# engines know (Spark writes its own as "SQLSTATE: ").
_NUMBERS = (
    r"(?i)\bSql error number\W{1,3}(\d{2,6})\b|\bMsg (\d{2,6}), Level"
    r"|\bSQL Server, Error: (\d{2,6})\b|\[ErrorCode = (\d{2,6})\]|\((\d{2,6})\) \(SQL[A-Z]{4,20}\)"
)
_STATE = r"((?:0[0-9A]|2[0-9A-F]|3[0-9BDF]|4[0-4]|5[3-8]|HY|P0|XX)[0-9A-Z]{3})"
_STATES = (
    rf"\bERROR \[{_STATE}\]|\('{_STATE}', |\bSQLSTATE ?\[{_STATE}\]|\bSQLSTATE ?\({_STATE}\)"
    rf"|\[?\bSQLState:? {_STATE}\b"
    rf"|\(SQLSTATE {_STATE}\)|\bSQL Error \[{_STATE}\]|\b\d{{4,6}} \({_STATE}\)"
    rf"|(?:^|Message=){_STATE}: "
)
# What says the same in every language: exceptions, states, numbers of a database's errors.
_UNIVERSAL = (
    r"\b[A-Z]\w+(?:Exception|Error)\b|\b[A-Z]{2,}_[A-Z_]{2,}|SqlErrorNumber|\bORA-\d|\bAADSTS\d"
    r"|\b(?:HTTP|status|code)\W{1,4}\d{3}\b"
)
# Lines worth keeping of a middle that is dropped.
_TELLING = (
    r"(?i)caused by|exception|error|denied|forbidden|not authori|fail|invalid|not found|exist"
    r"|violat|expired|quota|exceed|reject|missing|mismatch|cannot"
)
MAX_KEPT_LINES = 40
_KEPT_BEFORE = 100  # characters of a line in front of such a word ...
_KEPT_AFTER = 240  # ... and behind its beginning
_MOST_TELLING = 20_000  # such words that are looked at
_LINE_HEAD = 300  # characters of a line that show whether it is noise
_MOST_INNER = 8  # causes of one chain that are looked at, the innermost ones


def parts(text: str) -> list[str]:
    """A chain's causes, each with the words that lead over to it, the last and innermost ones."""
    pieces = regex(_INNER).split(text)
    leads = ["", *pieces[1::2]]
    return [f"{lead}{piece}" for lead, piece in zip(leads, pieces[::2], strict=True)][-_MOST_INNER:]


def aside(text: str) -> tuple[str, str]:
    """A tidy text's noise of a log, which may be empty, and the rest of it."""
    noise, _, rest = text.rpartition(_ASIDE)
    return noise.strip(), rest.strip()


def sound(message: str) -> str:
    """The message without halves of pairs of surrogates, which JSON may hold and UTF-8 has not."""
    return message if message.isascii() else message.encode("utf-8", "replace").decode("utf-8")


def tidy(message: str) -> str:
    """A message of bounded length, with single blanks, plain quotes and plain forms of letters.

    A log's noise comes first, see `aside`. Numbers and states of databases are written in one way
    beside the driver's own.
    """
    if len(message) > MAX_HEAD + MAX_TAIL:
        kept, _ = _telling(message[MAX_HEAD:-MAX_TAIL])
        message = "\n".join((message[:MAX_HEAD], *kept, message[-MAX_TAIL:]))
    noise, rest = _noise_apart(message)
    return f"{_plain(noise)} {_ASIDE} {_plain(rest)}" if noise else _plain(rest)


def _plain(message: str) -> str:
    text = " ".join(message.replace("\0", " ").split())
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").replace("\u2018", "'")
    return _numbered(text)


def _noise_apart(message: str) -> tuple[str, str]:
    """The lines that only make noise and the others; no noise where nothing else is left."""
    if "\n" not in message:
        return "", message
    noisy = regex(_NOISE)
    lines: tuple[list[str], list[str]] = ([], [])
    for line in message.split("\n"):
        lines[noisy.search(line[:_LINE_HEAD]) is None].append(line)
    noise, rest = ("\n".join(each) for each in lines)
    return (noise, rest) if rest.strip() else ("", message)


def _numbered(text: str) -> str:
    """The text with `SqlErrorNumber=` and `DbState=` behind a database's numbers and states."""
    if any(word in text for word in ("SQL", "Sql", "Error", "Msg ")):
        text = regex(_NUMBERS).sub(lambda m: _named("SqlErrorNumber", m), text)
    return str(regex(_STATES).sub(lambda m: _named("DbState", m), text))


def _named(name: str, found: re.Match[str]) -> str:
    value = next(filter(None, found.groups()))
    return f"{found.group()} {name}={value} "


def _telling(middle: str) -> tuple[list[str], bool]:
    """The lines of a dropped middle that speak of an error, each once, and whether that is all."""
    kept: dict[str, None] = {}
    end = 0
    for count, found in enumerate(regex(_TELLING).finditer(middle)):
        if count == _MOST_TELLING:
            return list(kept), False
        start = found.start()
        if start < end:
            continue
        earliest = max(start - _KEPT_BEFORE, 0)
        begin = max(middle.rfind("\n", earliest, start) + 1, earliest)
        stop = middle.find("\n", start, start + _KEPT_AFTER)
        end = stop if stop >= 0 else start + _KEPT_AFTER
        line = middle[begin:end].strip()
        if line in kept or line.startswith("at "):
            continue
        if len(kept) == MAX_KEPT_LINES:
            return list(kept), False
        kept[line] = None
    return list(kept), True


def unread(message: str) -> bool:
    """Whether lines that speak of errors had to be dropped."""
    return len(message) > MAX_HEAD + MAX_TAIL and not _telling(message[MAX_HEAD:-MAX_TAIL])[1]


def foreign(text: str) -> bool:
    """Whether most letters are not ASCII and nothing is said that every language says alike."""
    if text.isascii():
        return False
    plain = sum(char.isascii() for char in text if char.isalpha())
    # In bytes, since one sign of Chinese says as much as several letters.
    other = sum(len(char.encode()) for char in text if char.isalpha() and not char.isascii())
    return other > plain and not regex(_UNIVERSAL).search(text)
