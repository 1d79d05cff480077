"""What the environment says of proxies and certificates holds, though it is asked but once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from azure.core.rest import HttpRequest

from shared.transport import transport_to


class Answering(BaseHTTPRequestHandler):
    """Answers every request with its request line, as a proxy sees it."""

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    bundles = "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", *bundles):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def asked(url: str) -> str:
    with transport_to(url) as transport:
        return str(transport.send(HttpRequest("GET", url)).text())


def test_a_proxy_is_used(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", address)
    assert asked("http://tables.invalid/row") == "http://tables.invalid/row"


def test_what_needs_no_proxy_is_asked_itself(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert asked(f"{address}/row") == "/row"


def test_certificates_of_ones_own_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/own.pem")
    assert transport_to("https://tables.invalid").connection_config.verify == "/etc/own.pem"


def test_certificates_are_always_checked() -> None:
    assert transport_to("https://tables.invalid").connection_config.verify is True
