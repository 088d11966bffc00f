"""One tiny HTTP server a service: /live, /ready and /metrics."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from generals_runtime.errors import OperatorError

# None when all is well, else the reason why not.
Check = Callable[[], str | None]


class PortTaken(OperatorError):
    """The address to answer on is in use or not ours."""


class HealthServer:
    """Answers on `host:port` from threads of its own until closed; port 0 takes a free one."""

    def __init__(self, host: str, port: int, *, registry: CollectorRegistry, not_live: Check, not_ready: Check) -> None:
        pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/live": lambda: _verdict(not_live),
            "/ready": lambda: _verdict(not_ready),
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
        }
        try:
            self._server = _Server((host, port), pages)
        except OSError as error:
            raise PortTaken(
                f"cannot serve metrics on {host}:{port}: {error.strerror}. "
                "Set observability.metrics_port to a free port, or to 0 for none."
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> HealthServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _verdict(check: Check) -> tuple[int, str, bytes]:
    reason = check()
    return (200 if reason is None else 503), "text/plain; charset=utf-8", f"{reason or 'ok'}\n".encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pages: dict[str, Callable[[], tuple[int, str, bytes]]]) -> None:
        self.pages = pages
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # a client that says nothing holds a thread no longer

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)  # noqa: S101 - for the type checker
        page = server.pages.get(self.path.split("?")[0])
        if page is None:
            self._answer(404, "text/plain; charset=utf-8", f"one of {', '.join(server.pages)}\n".encode())
            return
        self._answer(*page())

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked has stopped waiting
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not news."""
