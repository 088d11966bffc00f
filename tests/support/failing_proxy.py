"""An HTTP proxy before an S3 server that fails a share of all calls: 500, 503, silence, cut connections, and answers
that are lost after the server did what was asked."""

import random
import socket
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("500", "503", "cut_before", "cut_after", "lost_answer", "slow")


class FailingProxy:
    """A context manager; `url` stands in for the server's."""

    def __init__(self, target: str, share: float, seed: int) -> None:
        self.share = share
        self.calls = 0
        self.faults: dict[str, int] = dict.fromkeys(FAULTS, 0)
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(self, urlsplit(target).netloc)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def fault(self) -> str | None:
        """What happens to the next call."""
        with self._lock:
            self.calls += 1
            if self._random.random() >= self.share:
                return None
            found = self._random.choice(FAULTS)
            self.faults[found] += 1
            return found

    def __enter__(self) -> "FailingProxy":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: FailingProxy, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy
        self.target = target


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.proxy.fault()
        if fault in ("500", "503"):
            self._refuse(int(fault))
            return
        if fault == "cut_before":
            self._cut()
            return
        if fault == "slow":
            time.sleep(0.3)
        try:
            self._forward(body, fault)
        except (OSError, HTTPException):  # the server or the client is gone: so is this connection
            self._cut()

    def _forward(self, body: bytes, fault: str | None) -> None:
        connection = HTTPConnection(self.server.target, timeout=30)
        # The signature covers the Host header that the client sent, so it is passed on unchanged.
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "expect"):
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        if fault == "lost_answer":
            self._cut()
        else:
            self._answer(answer, data, cut=fault == "cut_after")
        connection.close()

    def _answer(self, answer: HTTPResponse, data: bytes, *, cut: bool) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._cut()

    def _refuse(self, status: int) -> None:
        data = b"<Error><Code>%s</Code></Error>" % (b"InternalError" if status == 500 else b"SlowDown")
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _cut(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the client was faster

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""
