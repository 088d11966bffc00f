"""Stores that can be made to fail: an S3 server behind a proxy, and a small disk that can be filled.

Unusual: the proxy is ours and only breaks the HTTP; the server behind it is a real one (versitygw if it is on PATH,
else moto's), so that what is stored and what is refused is decided by code that is not ours.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import boto3

from generals_console.processes import Children
from generals_runtime.broker import free_port
from generals_runtime.errors import OperatorError

BUCKET = "generals"
START_WITHIN_S = 60.0
SLOW_S = 2.0
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "chaos", "AWS_SECRET_ACCESS_KEY": "chaos-only-here", "AWS_REGION": "us-east-1"}
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


def find_s3_server() -> str | None:
    """versitygw's path, `moto`, or None: there is no S3 server on this machine."""
    return shutil.which("versitygw") or ("moto" if find_spec("moto") and find_spec("flask") else None)


class S3:
    """A real S3 server as a child process, and a proxy before it that fails on request."""

    def __init__(self, server: str, folder: Path, children: Children) -> None:
        self._address = f"127.0.0.1:{free_port()}"
        self._children = children
        self._command, self._environment = self._how(server, folder)
        self._proxy = _Proxy(self._address)

    @property
    def url(self) -> str:
        """For services: by way of the proxy."""
        return f"s3://{BUCKET}/archive?endpoint=http://127.0.0.1:{self._proxy.server_address[1]}"

    @property
    def true_url(self) -> str:
        """For the audit: past the proxy."""
        return f"s3://{BUCKET}/archive?endpoint=http://{self._address}"

    def start(self) -> None:
        """Raises OperatorError if the server does not come up."""
        self._children.launch("s3", self._command, self._environment)
        deadline = time.monotonic() + START_WITHIN_S
        while not _is_open(self._address):
            if time.monotonic() > deadline:
                raise OperatorError(f"the S3 server did not answer on {self._address} in {START_WITHIN_S:.0f} s")
            time.sleep(0.1)
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{self._address}",
            region_name=CREDENTIALS["AWS_REGION"],
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket=BUCKET)
        threading.Thread(target=self._proxy.serve_forever, name="s3-proxy", daemon=True).start()

    def stop(self) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()

    def fail(self, how: str) -> None:
        """From now on: `answers 500`, `answers 503`, `cuts connections`, `loses answers`, `slow`, or `` for well."""
        self._proxy.fault = how

    def _how(self, server: str, folder: Path) -> tuple[list[str], dict[str, str]]:
        host, port = self._address.split(":")
        if server == "moto":
            return [sys.executable, "-m", "moto.server", "-H", host, "-p", port], {}
        objects = folder / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        keys = {
            "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        return [server, "--quiet", "--port", self._address, "posix", str(objects)], keys


def _is_open(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), 0.2).close()
    except OSError:
        return False
    return True


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.fault = ""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was cut off, or that died: that is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def log_message(self, format: str, *args: object) -> None:
        """Not a line a request."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault
        if fault == "slow":
            time.sleep(SLOW_S)
        if fault == "cuts connections":
            self._cut()
        elif fault.startswith("answers"):
            self._answer(int(fault.removeprefix("answers ")), [], b"")
        else:
            self._pass_on(body, answer=fault != "loses answers")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - the base class names them so

    def _pass_on(self, body: bytes, *, answer: bool) -> None:
        connection = HTTPConnection(self.server.target, timeout=30)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect", "content-length"):
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
        except (OSError, HTTPException):
            self._cut()
            return
        finally:
            connection.close()
        if not answer:
            self._cut()
            return
        length = response.getheader("Content-Length") if self.command == "HEAD" else None
        self._answer(response.status, response.getheaders(), content, length)

    def _answer(self, code: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None) -> None:
        self.send_response_only(code)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class SmallDisk:
    """A tmpfs of its own, which can be filled to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / ".ballast"

    def fill(self) -> None:
        """Write until there is no room left."""
        block = bytes(1 << 20)
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as ballast:
            while True:
                ballast.write(block)

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[SmallDisk | None]:
    """Mount a tmpfs at `folder`; None where that is not allowed. What lies on it is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        yield None
        return
    command = [mount, "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 - found on PATH
    try:
        yield SmallDisk(folder) if mounted else None
    finally:
        if mounted:
            subprocess.run([umount, "-l", str(folder)], check=True)  # noqa: S603 - as above
