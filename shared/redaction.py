"""Secrets never leave: one function takes them out of every text that is stored or sent.

Patterns cover the shapes in which credentials appear in platform messages; the values of our own
configured secrets are removed wherever they appear.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import re2

from shared.diagnosis.matcher import Matcher
from shared.errors import ConfigurationError

MASK = "[redacted]"
_MIN_SECRET = 6  # shorter values would blank out ordinary words

# What introduces a secret by its name: `password=`, `"client_secret": `, `--api-key `.
_NAMES = (
    r"(?:[\w.-]*(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?|account[_-]?key"
    r"|secret[_-]?key|private[_-]?key|encryption[_-]?key|subscription[_-]?key|access[_-]?token"
    r"|refresh[_-]?token|sas[_-]?token|auth[_-]?token|bot[_-]?token|session[_-]?token"
    r"|shared[_-]?access[_-]?signature|passphrase)"
    r"|[\w.-]+_pass|(?:functions|host|master)[_-]key|\btoken|account\.key\.[\w.-]+)"
)
_IS = r"(?:\\*[\"'])?\s*(?:=>|:=|[:=])\s*"
# Services whose address is the secret, as the notification library writes them.
_CHANNELS = (
    r"slack|discord|guilded|msteams|workflows?|powerautomate|tgram|telegram|mailtos?|jsons?|xmls?|forms?"
    r"|mmosts?|rockets?|ntfys?|gotifys?|apprises?|pagerduty|opsgenie|victorops|splunk|signals?|twilio"
    r"|webex|webexteams|wxteams|gchat|matrixs?|pover|pushover|pbul|prowl|ses|sns|sendgrid|mailgun"
    r"|zulip|lark|feishu|dingtalk|wecombot|mqtts?|office365|o365|pagertree|spike|statuspage"
)
# Each pattern keeps its first group (what the secret was) and its second, and masks the rest.
_SHAPES = (
    # Whole things first, or a part of them is taken for something else.
    r"(?s)()-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
    rf"(?i)(\b(?:{_CHANNELS})://)[^\s\"'<>]+",
    r"(?i)(\bhooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/)[^\s\"'<>]+",
    r"(?i)(\b(?:[\w.-]*webhook\.office\.com/webhookb2|outlook\.office(?:365)?\.com/webhook)/)[^\s\"'<>]+",
    r"(?i)(\b(?:\w+\.)?discord(?:app)?\.com/api/webhooks/)[^\s\"'<>]+",
    r"(?i)(\bauthorization(?:\\?[\"'])?\s*[:=]\s*(?:\\?[\"'])?(?:bearer|basic|sharedkey|digest|aws4-hmac-sha256)\s+)[^\s\"',;]+",
    r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9+/_.~-]{16,}=*",
    rf"(?i)({_NAMES}{_IS}\\*\")[^\"\\]*(\\*\")",
    rf"(?i)({_NAMES}{_IS}\\*')[^'\\]*(\\*')",
    rf"(?i)({_NAMES}{_IS})[^\s\"';&]+",
    rf"(?i)({_NAMES}(?:%22)?(?:%3D|%3A)(?:%20|\+)*(?:%22)?)[^\s\"'&%]+",
    rf"(?i)(--{_NAMES}\s+[\"']?)[^\s\"']+",
    rf"(?i)(<{_NAMES}>)[^<]*(</)",
    r"(?i)([?&;](?:sig|code|api_key|token|key|access_token|client_secret|x-amz-signature|x-amz-credential|x-amz-security-token)(?:=|%3D))[^&\s\"']+",
    r"(?i)((?:%3F|%26|\b)sig(?:=|%3D))[^&\s\"']+",
    r"(?i)()(?:dapi|dkea|dose|dsapi)[0-9a-f]{16,}(?:-\d+)?",
    r"()eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*",
    r"()(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",
    r"()(?:xox[a-z]|xapp)-[A-Za-z0-9-]{8,}",
    r"()(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,})",
    r"()[A-Za-z0-9+/]{86}==",  # the key of a storage account, an event hub, a Cosmos account
    r"()[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}",  # a client secret of Entra ID
    r"()\d{8,10}:[A-Za-z0-9_-]{35}",  # a Telegram bot
    r"(://[^/\s:@\"']*:)[^/\s\"'<>]+(@)",
    r"(?i)(jdbc:oracle:\w+:[^/\s]+/)[^@\s]+(@)",
    # Rows of data in DLT expectation errors: people's data is no evidence that we need.
    r"(?s)((?:Input data|Output record): ')[^']*(')",
)
_COMPILED = tuple(re2.compile(shape) for shape in _SHAPES)


# Most texts hold no secret, and one pass over all shapes tells that.
_ANY = Matcher(_SHAPES)


def _suspect(value: str) -> bool:
    """Whether any shape may be in a text. Without regard to case, so it says yes too often."""
    try:
        return bool(value) and bool(_ANY.hits(value))
    except (ConfigurationError, UnicodeEncodeError):  # out of memory, or no text: look for each
        return True


class Redactor:
    """Takes secrets out of texts; `secrets` are values that must never appear."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({s for s in secrets if len(s) >= _MIN_SECRET}, key=len, reverse=True)

    def text(self, value: str) -> str:
        """`value` without the secrets in it."""
        value = self.values(value)
        if not _suspect(value):
            return value
        for pattern in _COMPILED:
            value = pattern.sub(_mask, value)
        return value

    def values(self, value: str) -> str:
        """`value` without our own configured secrets; for our own links, which carry tokens."""
        for secret in self._secrets:
            value = value.replace(secret, MASK)
        return value

    def tree(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value in, the same shape out
        """A JSON value with every string in it redacted; keys that name a secret lose the value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        if isinstance(value, dict):
            return {key: self._entry(str(key), item) for key, item in value.items()}
        return value

    def _entry(self, key: str, item: Any) -> Any:  # noqa: ANN401 - see tree
        if isinstance(item, str) and _SECRET_KEY.search(key):
            return MASK
        return self.tree(item)


_SECRET_KEY = re2.compile(r"(?i)(password|secret|token$|api_?key|account_?key|authorization|sig$)")


# Names of settings, by their words: `fs.azure.account.key.x`, `clientSecret`, `db-password`.
_SECRET_WORDS = re2.compile(
    r"(?i)(passw|pwd|passphrase|secret|token|credential|conn(?:ection)?[._-]?str|shared[._-]?access"
    r"|signature|authorization|(?:api|access|account|private|encryption|subscription|storage)[._-]?key"
    r"|(?:^|[._-])(?:keys?|sas|sig|pass)\d*(?:$|[._-])|^sas)"
)
_CAMEL = re2.compile(r"[a-z0-9](?:Key|Sas|Sig|Pass)(?:$|[^a-z])")
_NO_SECRETS = re2.compile(
    r"(?i)^(?:task|job[._-]?cluster|environment|primary|foreign|partition|sort)[._-]?keys?$"
)


def names_secret(name: str) -> bool:
    """Whether what a setting of this name holds is to be taken for a secret; in doubt it is."""
    if _NO_SECRETS.search(name):
        return False
    return bool(_SECRET_WORDS.search(name) or _CAMEL.search(name))


def _mask(match: Any) -> str:  # noqa: ANN401 - re2 publishes no match type
    groups = match.groups()
    tail = groups[1] if len(groups) > 1 else ""
    return f"{groups[0]}{MASK}{tail}"
