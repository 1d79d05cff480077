"""Rows and transactions on the wire of Table Storage, with as little between as there can be.

azure-data-tables takes about 2.5 ms of processor time for one row, and prepares and reads each row
of a transaction in threads of its own. All that a healing and an alert cost is made of these
calls, so the few that are made often are spoken here, over azure-core's pipeline: its
authentication, its retries, its connections. Tables and queries stay with the SDK.

https://learn.microsoft.com/rest/api/storageservices/table-service-rest-api
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec

if TYPE_CHECKING:
    from azure.core import PipelineClient

Entity = dict[str, Any]
Hook = Callable[[bytes], None]

CONNECTIONS = 64  # kept open; azure-core's own ten are closed and opened again under load
_SCOPE = "https://storage.azure.com/.default"
_JSON = "application/json;odata=minimalmetadata"
_HEADERS = {
    "Accept": _JSON,
    "Content-Type": _JSON,
    "DataServiceVersion": "3.0",
    "Prefer": "return-no-content",
    "x-ms-version": "2019-02-02",
}
_STATUS = re.compile(rb"^HTTP/1\.1 (\d{3})", re.MULTILINE)
_ETAG = re.compile(rb"^etag:\s*(\S+)", re.MULTILINE | re.IGNORECASE)
_CODE = re.compile(rb'"code"\s*:\s*"(\w+)"|<(?:m:)?code>(\w+)<')
_TYPE = "@odata.type"
_INT32 = 1 << 31
_OK = 300
_WRITES = {"merge": "PATCH", "replace": "PUT"}  # by the SDK's modes; it merges by itself


class Answer(msgspec.Struct, frozen=True):
    """What came back: the status of the first row that failed, or of the last one."""

    status: int
    code: str = ""
    body: bytes = b""
    etag: str = ""
    etags: tuple[str, ...] = ()  # of the rows of a transaction, where each of them has one

    @property
    def good(self) -> bool:
        """Whether it was done."""
        return self.status < _OK


class Wire:
    """The connections to one account, shared by its tables."""

    def __init__(
        self,
        url: str,
        credential: Any,  # noqa: ANN401 - three kinds of the SDK
        options: Entity,
        hook: Hook | None = None,
    ) -> None:
        """Speaks to the account at `url`.

        Args:
            url: the Table endpoint, with a shared access signature if that is how we are known.
            credential: what the SDK's client has: a named key, a token's source or a signature.
            options: of azure-core's retries and transport.
            hook: is told the body of every answer.
        """
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._query = f"?{parts.query}" if parts.query else ""
        self._credential = credential
        self._options = options
        self._hook = hook

    def call(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request.

        Raises:
            azure.core.exceptions.AzureError: nobody answered.
        """
        from azure.core.rest import HttpRequest

        url = f"{self._base}/{path}{self._query}"
        named = {**_HEADERS, **(headers or {})}
        response = self._client.send_request(
            HttpRequest(method, url, headers=named, content=body or None)
        )
        content = response.content
        if self._hook is not None:
            self._hook(content)
        code = "" if response.status_code < _OK else _code(content)
        return Answer(response.status_code, code, content, response.headers.get("ETag", ""))

    def batch(self, table: str, operations: Sequence[tuple[Any, ...]]) -> Answer:
        """One transaction; `operations` as azure-data-tables takes them.

        Raises:
            azure.core.exceptions.AzureError: nobody answered.
        """
        mark = uuid.uuid4().hex
        parts = b"".join(
            _part(mark, f"{self._base}/{table}", operation) for operation in operations
        )
        body = (
            f"--batch_{mark}\r\nContent-Type: multipart/mixed; boundary=changeset_{mark}\r\n\r\n"
        ).encode()
        body += parts + f"--changeset_{mark}--\r\n--batch_{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/mixed; boundary=batch_{mark}"}
        answer = self.call("POST", "$batch", body, kind)
        statuses = [int(status) for status in _STATUS.findall(answer.body)]
        if not answer.good or not statuses:
            return answer
        etags = tuple(etag.decode() for etag in _ETAG.findall(answer.body))
        known = etags if len(etags) == len(operations) else ()
        return Answer(max(statuses), _code(answer.body), answer.body, etags=known)

    @cached_property
    def _client(self) -> PipelineClient[Any, Any]:
        from azure.core import PipelineClient
        from azure.core.pipeline.policies import RetryPolicy, UserAgentPolicy

        policies = [
            UserAgentPolicy("lakemend"),
            RetryPolicy(**self._options),
            *_authentication(self._credential),
        ]
        return PipelineClient(
            self._base, policies=policies, transport=transport(self._base, self._options)
        )


def transport(url: str, options: Entity) -> Any:  # noqa: ANN401 - the SDK asks for its own type
    """Connections that stay open; what the environment says of proxies is read once, here."""
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    found = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies = found["proxies"]
    session.trust_env = False  # else the whole environment is read again with every call
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return RequestsTransport(
        session=session,
        session_owner=True,
        use_env_settings=False,
        connection_verify=found["verify"],
        **options,
    )


def entity_path(table: str, partition: str, row: str) -> str:
    """The address of a row."""
    return f"{table}(PartitionKey='{_key(partition)}',RowKey='{_key(row)}')"


def encode(entity: Entity) -> bytes:
    """A row as JSON, with the types that JSON does not have."""
    plain: Entity = {}
    for name, value in entity.items():
        if isinstance(value, datetime):
            moment = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            plain[name], plain[f"{name}{_TYPE}"] = moment, "Edm.DateTime"
        elif type(value) is int and not -_INT32 <= value < _INT32:
            plain[name], plain[f"{name}{_TYPE}"] = str(value), "Edm.Int64"
        elif isinstance(value, float):
            plain[name], plain[f"{name}{_TYPE}"] = value, "Edm.Double"
        elif value is not None:
            plain[name] = value
    return msgspec.json.encode(plain)


def decode(body: bytes) -> Entity:
    """A row from JSON, without what the service adds."""
    plain = msgspec.json.decode(body, type=dict[str, Any])
    types = {name.removesuffix(_TYPE): plain[name] for name in plain if name.endswith(_TYPE)}
    return {
        name: _typed(value, types.get(name, ""))
        for name, value in plain.items()
        if name != "Timestamp" and "odata." not in name
    }


def _typed(value: Any, kind: str) -> Any:  # noqa: ANN401 - any property
    if kind == "Edm.DateTime":
        return datetime.fromisoformat(value)
    return int(value) if kind == "Edm.Int64" else value


def _key(text: str) -> str:
    return quote(text.replace("'", "''"), safe="")


def _part(mark: str, table: str, operation: tuple[Any, ...]) -> bytes:
    kind, entity, options = operation[0], operation[1], (*operation, {})[2]
    method, matching, body = "POST", "", b""
    url = table
    if kind != "create":
        base, _, name = table.rpartition("/")
        url = f"{base}/{entity_path(name, entity['PartitionKey'], entity['RowKey'])}"
        method = (
            "DELETE"
            if kind == "delete"
            else _WRITES[getattr(options.get("mode"), "value", "merge")]
        )
    if kind in {"update", "delete"}:
        matching = f"If-Match: {options.get('etag') or '*'}\r\n"
    if kind != "delete":
        body = encode(entity)
    head = (
        f"--changeset_{mark}\r\n"
        "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        f"{method} {url} HTTP/1.1\r\n"
        f"Accept: {_JSON}\r\nContent-Type: {_JSON}\r\n"
        f"DataServiceVersion: 3.0\r\nPrefer: return-no-content\r\n{matching}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n"


def _code(body: bytes) -> str:
    found = _CODE.search(body)
    return (found[1] or found[2]).decode() if found else ""


def _authentication(credential: Any) -> list[Any]:  # noqa: ANN401 - the SDK's credentials
    """How we are known: by a key that signs, by a token, or by the signature in the address."""
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy

    if hasattr(credential, "named_key"):
        return [_signing(credential)]
    if hasattr(credential, "get_token"):
        return [BearerTokenCredentialPolicy(credential, _SCOPE)]
    return []


def _signing(credential: Any) -> Any:  # noqa: ANN401 - a policy class made where its base is imported
    """Shared Key Lite: signs the date and the address, anew with every try.

    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    """
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class Signing(SansIOHTTPPolicy[Any, Any]):
        def on_request(self, request: Any) -> None:  # noqa: ANN401 - azure-core's own type
            name, key = credential.named_key
            date = formatdate(usegmt=True)
            text = f"{date}\n/{name}{urlsplit(request.http_request.url).path}"
            digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
            signature = base64.b64encode(digest).decode()
            request.http_request.headers["x-ms-date"] = date
            request.http_request.headers["Authorization"] = f"SharedKeyLite {name}:{signature}"

    return Signing()
