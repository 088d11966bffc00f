"""An HTTP proxy that makes a real S3 server misbehave for a while."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest


class Misbehaving(ThreadingHTTPServer):
    """Passes requests on, except that the next `faults` of writing requests are spoiled in the order given.

    slow_down: answered 503 and not passed on. forbidden: 403. full: 507.
    lost_answer: passed on, then the connection is closed without an answer.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.faults: list[str] = []
        self.writes = 0
        super().__init__(("127.0.0.1", 0), _Proxy)

    def next_fault(self, method: str, path: str) -> str | None:
        if method == "GET" or method == "HEAD" or (method == "POST" and "uploads" in path):
            return None
        self.writes += 1
        return self.faults.pop(0) if self.faults else None

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection closed on purpose is no news."""


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Misbehaving

    def _pass_on(self) -> None:
        body = self._body()
        fault = self.server.next_fault(self.command, self.path)
        if fault in ("slow_down", "forbidden", "full"):
            status, code = {"slow_down": (503, "SlowDown"), "forbidden": (403, "AccessDenied"), "full": (507, "Full")}[
                fault
            ]
            self._answer(status, [], f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            # The Host header stays what the client signed.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("transfer-encoding", "content-length", "expect"):
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if fault == "lost_answer":
            self.close_connection = True
            return
        self._answer(answer.status, answer.getheaders(), content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        kept = {name: value for name, value in headers if name.lower() not in ("transfer-encoding", "connection")}
        if self.command != "HEAD":
            kept = {name: value for name, value in kept.items() if name.lower() != "content-length"}
            kept["Content-Length"] = str(len(body))
        for name, value in kept.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def misbehaving_s3(s3: str, s3_endpoint: str) -> Iterator[tuple[Misbehaving, str]]:
    """The proxy and the fresh bucket's URL through it."""
    proxy = Misbehaving(s3_endpoint)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield proxy, s3.replace(s3_endpoint, f"http://127.0.0.1:{proxy.server_address[1]}")
    proxy.shutdown()
    proxy.server_close()
    thread.join(5)
