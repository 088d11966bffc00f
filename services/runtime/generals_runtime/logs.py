"""Structured logs on stderr: JSON for machines, colours for a terminal, secrets never.

Unusual: the level is checked while an event is processed, not when a logger is made, so `set_level` and `follow` act at
once on every logger. `follow` lets one game's events through at any level. Secrets are hidden twice: by the name of the
key, and by their value wherever it turns up, stack traces and third-party loggers included.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import structlog
from pydantic import BaseModel, SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from generals_runtime.settings import ObservabilitySettings

HIDDEN = "(hidden)"
_SECRET_KEY = re.compile(r"password|passwd|secret|token|credential|authorization|private[._-]?key", re.IGNORECASE)
_SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
# What these say below a warning is of use to their authors only.
_CHATTY = ("botocore", "boto3", "s3transfer", "urllib3", "aiokafka", "kafka", "matplotlib", "numba", "asyncio")


class _Gate:
    """Drops events below the level, unless they belong to the followed game."""

    def __init__(self) -> None:
        self.level = _LEVELS["info"]
        self.game: str | None = None

    def __call__(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        level = _LEVELS.get("error" if method == "exception" else method, _LEVELS["info"])
        if level < self.level and (self.game is None or event.get("game_id") != self.game):
            raise structlog.DropEvent
        return event


class _Hider:
    """Replaces secrets by a placeholder, by key and by value."""

    def __init__(self) -> None:
        self.values: frozenset[str] = frozenset()

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: HIDDEN if _SECRET_KEY.search(str(key)) else self.clean(value) for key, value in event.items()}

    def clean(self, value: Any) -> Any:
        if isinstance(value, SecretStr):
            return HIDDEN
        if isinstance(value, dict):
            return {k: HIDDEN if _SECRET_KEY.search(str(k)) else self.clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean(item) for item in value]
        if isinstance(value, int | float | None):
            return value
        return self.text(value if isinstance(value, str) else repr(value))

    def text(self, text: str) -> str:
        for secret in self.values:
            text = text.replace(secret, HIDDEN)
        return text


_gate = _Gate()
_hider = _Hider()


def configure(
    observability: ObservabilitySettings, *, service: str, service_id: str, settings: BaseModel | None = None
) -> None:
    """Send every event of structlog and of the standard library to stderr. `settings` tells which values are secret."""
    set_level(observability.log_level)
    follow(observability.follow_game)
    _hider.values = frozenset([*_secrets_in_environment(), *secrets_of(settings)])
    as_json = observability.log_format == "json" or (observability.log_format == "auto" and not sys.stderr.isatty())
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[_gate, *first, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*first, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json)],
        )
    )
    handler.addFilter(_wanted)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service, service_id=service_id)


def set_level(level: str) -> None:
    """Change the level of all loggers, now."""
    _gate.level = _LEVELS[level]
    _set_standard_level()


def follow(game_id: str | None) -> None:
    """Log everything about one game, whatever the level; None follows no game."""
    _gate.game = game_id
    _set_standard_level()


def tells(game_id: str) -> bool:
    """Whether a debug event about this game would be logged. Hot paths ask first: a dropped event costs 20 µs."""
    return _gate.level <= _LEVELS["debug"] or game_id == _gate.game


def _set_standard_level() -> None:
    # The standard library filters before our processors run; the gate decides about structlog's events.
    logging.getLogger().setLevel(_LEVELS["debug"] if _gate.game is not None else _gate.level)


def _wanted(record: logging.LogRecord) -> bool:
    """Structlog's events (dicts) have passed the gate; others have the level alone."""
    return isinstance(record.msg, dict) or record.levelno >= _gate.level


def secrets_of(model: BaseModel | None) -> Iterator[str]:
    """The values of all secrets in a settings model."""
    for value in () if model is None else vars(model).values():
        if isinstance(value, SecretStr) and value.get_secret_value():
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from secrets_of(value)


def _secrets_in_environment() -> Iterable[str]:
    return (os.environ[name] for name in _SECRET_VARIABLES if os.environ.get(name))


def _rendering(as_json: bool) -> list[Processor]:
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    last: Processor = (
        structlog.processors.JSONRenderer(default=str) if as_json else structlog.dev.ConsoleRenderer(colors=colours)
    )
    return [structlog.processors.format_exc_info, _hider, last]  # a stack trace is text before secrets are looked for
