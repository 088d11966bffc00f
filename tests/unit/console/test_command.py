"""The command's manners: help with an example, one message for what is wrong, exit codes that mean something."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from generals_console.commands.config import check
from generals_console.commands.replaying import _start
from generals_console.main import app
from generals_runtime.settings import SettingsError

HIDDEN = "hunter2"
REPLAYS = Path(__file__).parents[2] / "data" / "replays"


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from commands(child, (*path, name))


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "from generals_console.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, check=False, timeout=60, env={"PATH": "/usr/bin:/bin", **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "command"), list(commands(get_command(app))), ids=lambda v: " ".join(v) if isinstance(v, tuple) else ""
)
def test_every_command_says_what_it_does_and_has_an_example(
    path: tuple[str, ...], command: typer.main.TyperCommand
) -> None:
    assert command.help
    assert command.epilog
    assert command.epilog.startswith("Example: ")
    assert f"generals {path[0]}" in command.epilog


def test_a_recorded_game_is_replayed_as_json() -> None:
    file = REPLAYS / "synthetic-ring-01.json"
    done = run("rules", "replay", str(file), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = json.loads(file.read_text())["expected"]
    assert {name: found[name] for name in expected} == expected


def test_wrong_settings_are_named_one_a_line_without_a_trace_and_end_with_2(tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text("engine: {gmaes: 3, players: 99}\nkafka: {bootstrap_servers: nowhere}\n")
    done = run("config", "check", "--config", str(config))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "engine.gmaes" in done.stderr
    assert "engine.players" in done.stderr
    assert "kafka.bootstrap_servers" in done.stderr
    assert done.stderr.count("bootstrap_servers") == 1 or done.stderr.count("kafka.bootstrap_servers:") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colector: {reward: standard}", "colector: unknown section (wrong.yaml:1). Did you mean collector?"),
        ("collector: {reward: nonsense}", "collector: reward 'nonsense' is unknown; there are outcome, "),
        ("collector: {encoding: 'nowhere:at_all'}", "collector: encoding 'nowhere:at_all': No module named 'nowhere'"),
        ("collector: {reward_params: {wni: 2}}", "collector: reward standard has no parameter 'wni'; it has win, "),
        ("engine: [1, 2]", "engine: [1, 2] is not allowed (wrong.yaml:1): must be a mapping"),
        (
            "engine: {games: many}",
            "engine.games: 'many' is not allowed (wrong.yaml:1): input should be a valid integer",
        ),
        ("engine: {games: 1}\nengine: {games: 2}", "engine: stands twice (wrong.yaml:2)"),
        ("engine: {policies: [nobody]}", "engine.policies: ['nobody'] is not allowed (wrong.yaml:1): policy 'nobody'"),
        ("kafka: {security_protocol: SASL_SSL}", "kafka: security_protocol SASL_SSL needs sasl_mechanism, "),
        ("trainer: {learner: {name: ppo}}", "trainer.learner.name: 'ppo' is not allowed (wrong.yaml:1): "),
        ("writer: {destinations: [{url: 'ftp://a/b'}]}", "writer.destinations.0.url: 'ftp://a/b' is not allowed ("),
        ("- a list", "wrong.yaml:1: must be a mapping of keys to values"),
        ("engine: [", "wrong.yaml: is no YAML: "),
    ],
)
def test_each_wrong_setting_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text(text)
    with pytest.raises(SettingsError) as caught:
        check(config)
    [problem] = caught.value.problems
    assert problem.replace(f"{tmp_path}/", "").startswith(message)


def test_secrets_are_shown_as_stars() -> None:
    done = run(
        "config", "show", "--json", GENERALS_KAFKA__SASL_PASSWORD=HIDDEN, GENERALS_KAFKA__SASL_USERNAME="me",
        GENERALS_KAFKA__SASL_MECHANISM="PLAIN", GENERALS_KAFKA__SECURITY_PROTOCOL="SASL_PLAINTEXT",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert HIDDEN not in done.stdout + done.stderr
    assert json.loads(done.stdout)["kafka"]["sasl_username"] == "me"


@pytest.mark.parametrize(
    ("command", "option", "message"),
    [
        ("archive export nowhere --to copy --format foo", "--format", "must be one of parquet, npz, tfrecord"),
        ("archive prune nowhere --days 1e12", "--days", "1e+12 days ago is before any date"),
        ("archive prune nowhere --days inf", "--days", "inf days ago is before any date"),
        ("tournament random expander --anchor foo", "--anchor", "must be one of the players: random, expander"),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_anything_is_done(command: str, option: str, message: str) -> None:
    done = run(*command.split())
    assert done.returncode == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert f"Invalid value for {option}: {message}" in said


@pytest.mark.parametrize("text", ["²", "-1", "yesterday"])
def test_a_beginning_that_is_neither_an_offset_nor_a_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="must be earliest, an offset or a time"):
        _start(text)


def test_a_broker_that_is_not_there_is_one_message() -> None:
    done = run("topics", "list", GENERALS_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.returncode == 1
    assert done.stdout == ""
    [message] = done.stderr.splitlines()
    assert message.startswith("Kafka at 127.0.0.1:1 (PLAINTEXT) did not answer in 5 s: ")
    assert "Connection refused" in message
