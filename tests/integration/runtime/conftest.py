"""A proxy that makes a real S3 server misbehave, and a broker that speaks only TLS and asks for a password."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from generals_runtime.broker import EmbeddedBroker, free_port
from generals_runtime.settings import KafkaSettings


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


@dataclass(frozen=True)
class SecureKafka:
    """A broker with TLS and SCRAM, what a rightful client knows, and an authority that signed nothing."""

    settings: KafkaSettings
    strange_authority: Path
    password: str


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    folder, password, port = tmp_path_factory.mktemp("secure"), "correct horse battery", free_port()
    server, authority = _server_certificate(folder / "one")
    _other, strange = _server_certificate(folder / "two")
    settings = KafkaSettings(
        bootstrap_servers=f"127.0.0.1:{port}", security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512",
        sasl_username="engine", sasl_password=SecretStr(password), ssl_ca_location=authority,
    )  # fmt: skip
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    broker = EmbeddedBroker(
        folder / "kafka",
        port=port,
        settings={
            "listener.security.protocol.map": "BROKER:SASL_SSL,CONTROLLER:PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(server),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.broker.scram-sha-512.sasl.jaas.config": f'{login} username="engine" password="{password}";',
        },
        format_arguments=["--add-scram", f"SCRAM-SHA-512=[name=engine,password={password}]"],
        client_config=settings.client_config(),
        jvm_arguments=("-XX:TieredStopAtLevel=1",),
    ).start()
    yield SecureKafka(settings, strange, password)
    broker.kill()


def _server_certificate(folder: Path) -> tuple[Path, Path]:
    """(key and certificate of 127.0.0.1, certificate of the authority that signed it), both PEM."""
    folder.mkdir()
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("test authority", "test authority", authority_key, authority_key, is_authority=True)
    server = _certificate("broker", "test authority", server_key, authority_key, is_authority=False)
    pem = serialization.Encoding.PEM
    key = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(key + server.public_bytes(pem))
    (folder / "authority.pem").write_bytes(authority.public_bytes(pem))
    return folder / "server.pem", folder / "authority.pem"


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
