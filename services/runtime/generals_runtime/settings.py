"""The settings every service shares, as frozen pydantic models. `load` fills them, once, in `__main__`.

Unusual: constructing a model reads nothing but its arguments, so tests are not at the mercy of the environment. One
YAML (named by GENERALS_CONFIG) has the shared groups and a section a service:

    kafka: {bootstrap_servers: "kafka:9092"}
    observability: {log_level: info}
    engine: {games: 128}

and the same path in capitals, joined by two underscores, is the variable that overrides it: GENERALS_ENGINE__GAMES=128.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from generals_runtime.settings_sources import SettingsError, load
from generals_schemas.topics import TOPICS, Topics

__all__ = [
    "KafkaSettings",
    "ObservabilitySettings",
    "ServiceSettings",
    "SettingsError",
    "SettingsGroup",
    "TracingSettings",
    "load",
]

_SERVER = re.compile(r"^(\[[0-9a-fA-F:]+\]|[^\s:,/]+):(\d{1,5})$")


class SettingsGroup(BaseModel):
    """Base of every group of settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class KafkaSettings(SettingsGroup):
    """How to reach Kafka."""

    bootstrap_servers: str = Field(
        default="127.0.0.1:9092", description="host:port of one or more brokers, comma between them"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = Field(default=None, description="PEM file of the authority that signed the brokers")
    ssl_certificate_location: Path | None = Field(default=None, description="PEM certificate, where clients need one")
    ssl_key_location: Path | None = None
    ssl_key_password: SecretStr | None = None
    replication_factor: int = Field(default=1, ge=1, le=9, description="of topics that are created here")
    topic_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", description="put before every topic's name")

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers_are_host_and_port(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")]
        for server in servers:
            match = _SERVER.match(server)
            if match is None or not 0 < int(match.group(2)) < 65536:
                raise ValueError(f"{server!r} is no host:port")
        return ",".join(servers)

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> KafkaSettings:
        if not self.security_protocol.startswith("SASL_"):
            return self
        named = ("sasl_mechanism", "sasl_username", "sasl_password")
        missing = [name for name in named if getattr(self, name) is None]
        if missing:
            raise ValueError(f"security_protocol {self.security_protocol} needs {', '.join(missing)} too")
        return self

    def client_config(self) -> dict[str, Any]:
        """The connection part of a librdkafka configuration. Holds the password in clear: never log it."""
        given: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password and self.sasl_password.get_secret_value(),
            "ssl.ca.location": self.ssl_ca_location and str(self.ssl_ca_location),
            "ssl.certificate.location": self.ssl_certificate_location and str(self.ssl_certificate_location),
            "ssl.key.location": self.ssl_key_location and str(self.ssl_key_location),
            "ssl.key.password": self.ssl_key_password and self.ssl_key_password.get_secret_value(),
        }
        return {key: value for key, value in given.items() if value is not None}

    def broker_urls(self) -> list[str]:
        """The servers as Faust wants them."""
        return [f"kafka://{server}" for server in self.bootstrap_servers.split(",")]

    def topics(self) -> Topics:
        """The deployment's topics: topics.yaml under this prefix."""
        return TOPICS.with_prefix(self.topic_prefix)


class TracingSettings(SettingsGroup):
    """Which chunks are followed through all services, and where their spans go."""

    endpoint: str | None = Field(
        default=None,
        pattern=r"^(https?://\S+)?$",
        description="OTLP over HTTP: http://host:4318/v1/traces; null or empty: no tracing",
    )
    sampled_share: float = Field(
        default=0.01, gt=0, le=1, description="share of the chunks that are followed; the engine draws them"
    )


class ObservabilitySettings(SettingsGroup):
    """What the service says about itself, and where."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    follow_game: str | None = Field(
        default=None, description="engine and collector log each chunk of the game with this id, whatever the level"
    )
    log_format: Literal["auto", "json", "human"] = Field(
        default="auto", description="auto: human on a terminal, else JSON"
    )
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="of /metrics /live /ready; null or 0: off"
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="0.0.0.0 in a container, where only its network reaches it"
    )
    stall_after_s: float = Field(default=120.0, gt=0, description="no progress for this long ends the service")
    stop_within_s: float = Field(default=20.0, gt=0, description="a shutdown that takes longer is cut off")
    tracing: TracingSettings = TracingSettings()

    @property
    def serves_http(self) -> bool:
        return bool(self.metrics_port)


def _default_service_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class ServiceSettings(SettingsGroup):
    """Base of a service's settings. A subclass sets `section`, its part of the YAML and of the variables' names."""

    section: ClassVar[str] = ""

    kafka: KafkaSettings = KafkaSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    service_id: str = Field(default_factory=_default_service_id, min_length=1, max_length=200)


class ReaderSettings(ServiceSettings):
    """Base of the settings of a service that reads experiences."""

    topic: str | None = Field(
        default=None,
        min_length=1,
        description="experiences to read, such as `generals retensorise` made; null: those of the collectors",
    )

    @property
    def experiences(self) -> str:
        """The topic that is read."""
        return self.topic or self.kafka.topics().experiences.name
