"""Logs: their form, what they hide, what a followed game does."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import SecretStr

from generals_runtime import logs
from generals_runtime.settings import KafkaSettings, ObservabilitySettings, ServiceSettings


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    logs.set_level("info")
    logs.follow(None)
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _configure(level: str = "info", settings: ServiceSettings | None = None) -> None:
    observability = ObservabilitySettings.model_validate({"log_level": level, "log_format": "json"})
    logs.configure(observability, service="engine", service_id="e-1", settings=settings)


def _events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_json_object_with_service_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    _configure()
    structlog.get_logger().info("chunk sent", game_id="g", ticks=64)
    [event] = _events(capsys)
    assert event.pop("timestamp")
    assert event == {
        "event": "chunk sent", "game_id": "g", "ticks": 64, "service": "engine", "service_id": "e-1", "level": "info",
    }  # fmt: skip


def test_the_standard_library_logs_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    _configure()
    logging.getLogger("faust").warning("rebalanced %d", 3)
    [event] = _events(capsys)
    assert (event["event"], event["level"], event["service"]) == ("rebalanced 3", "warning", "engine")


def test_secrets_are_hidden_by_key_by_value_and_in_stack_traces(capsys: pytest.CaptureFixture[str]) -> None:
    kafka = KafkaSettings(
        security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_username="u", sasl_password=SecretStr("hunter2")
    )
    _configure(settings=ServiceSettings(kafka=kafka))
    log = structlog.get_logger()
    log.info(
        "connecting", **{"sasl_password": "x1"}, config={"sasl.password": "x2"}, url="sasl://u:hunter2@k", by=kafka
    )
    try:
        raise RuntimeError("refused hunter2")
    except RuntimeError:
        log.exception("failed")
    logging.getLogger("other").error("login hunter2 refused")
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 3
    assert "refused (hidden)" in text
    for secret in ("hunter2", "x1", "x2"):
        assert secret not in text


def test_the_level_changes_at_once_for_loggers_made_before(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("warning")
    log = structlog.get_logger().bind(part="early")
    log.info("not yet")
    logs.set_level("debug")
    log.debug("now")
    assert [event["event"] for event in _events(capsys)] == ["now"]


def test_a_followed_game_is_logged_below_the_level_and_nothing_else_is(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("warning")
    logs.follow("game-7")
    log = structlog.get_logger()
    log.debug("move", game_id="game-7")
    log.debug("move", game_id="game-8")
    logging.getLogger("other").info("chatter")
    assert [event.get("game_id") for event in _events(capsys)] == ["game-7"]


@pytest.mark.parametrize(
    ("level", "followed", "told"),
    [("info", None, set()), ("info", "game-7", {"game-7"}), ("debug", None, {"game-7", "game-8"})],
)
def test_who_asks_first_hears_what_would_be_logged(
    level: str, followed: str | None, told: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _configure(level)
    logs.follow(followed)
    for game in ("game-7", "game-8"):
        structlog.get_logger().debug("move", game_id=game)
    assert {event["game_id"] for event in _events(capsys)} == told
    assert {game for game in ("game-7", "game-8") if logs.tells(game)} == told
