"""Settings: where values come from, and what is said about wrong ones."""

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr, ValidationError

from generals_runtime.settings import KafkaSettings, ServiceSettings, SettingsError, SettingsGroup, load


class Map(SettingsGroup):
    width: int = Field(default=20, ge=1, le=64)


class EngineLike(ServiceSettings):
    section: ClassVar[str] = "engine"

    games: int = Field(default=8, ge=1)
    policies: tuple[str, ...] = ("random",)
    seed: int | None = 7
    map: Map = Map()
    api_token: SecretStr | None = None


def yaml_file(folder: Path, text: str) -> dict[str, str]:
    file = folder / "dev.yaml"
    file.write_text(text)
    return {"GENERALS_CONFIG": str(file)}


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(EngineLike, environ=environ)
    return caught.value.problems


def test_without_sources_there_are_the_defaults() -> None:
    settings = load(EngineLike, environ={})
    assert settings.games == 8
    assert settings.kafka == KafkaSettings()
    assert settings.service_id


def test_a_service_reads_its_own_section_and_the_shared_groups(tmp_path: Path) -> None:
    environ = yaml_file(
        tmp_path,
        "kafka: {bootstrap_servers: 'a:1, b:2'}\nengine: {games: 3, map: {width: 9}}\ncollector: {whatever: 1}\n",
    )
    settings = load(EngineLike, environ=environ)
    assert (settings.games, settings.map.width, settings.kafka.bootstrap_servers) == (3, 9, "a:1,b:2")


def test_the_environment_wins_over_the_yaml(tmp_path: Path) -> None:
    environ = yaml_file(tmp_path, "engine: {games: 3, policies: [expander]}\n")
    environ |= {"GENERALS_ENGINE__GAMES": "5", "GENERALS_ENGINE__MAP__WIDTH": "11", "GENERALS_COLLECTOR__X": "1"}
    settings = load(EngineLike, environ=environ)
    assert (settings.games, settings.map.width, settings.policies) == (5, 11, ("expander",))


def test_the_section_may_be_left_out_of_a_variable() -> None:
    assert load(EngineLike, environ={"GENERALS_GAMES": "5"}).games == 5


def test_lists_and_null_are_written_in_variables_as_in_yaml() -> None:
    environ = {"GENERALS_ENGINE__POLICIES": "[random, hunter]", "GENERALS_ENGINE__SEED": "null"}
    settings = load(EngineLike, environ=environ)
    assert (settings.policies, settings.seed) == (("random", "hunter"), None)


def test_a_file_variable_gives_the_files_content(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cr3t\n")
    settings = load(EngineLike, environ={"GENERALS_ENGINE__API_TOKEN_FILE": str(tmp_path / "secret")})
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "s3cr3t"


def test_a_file_variable_without_its_file_is_named(tmp_path: Path) -> None:
    [problem] = problems({"GENERALS_ENGINE__API_TOKEN_FILE": str(tmp_path / "none")})
    assert problem.startswith("api_token: the file named by GENERALS_ENGINE__API_TOKEN_FILE cannot be read")


def test_an_unknown_key_in_the_yaml_is_named_with_its_line_and_the_nearest_allowed(tmp_path: Path) -> None:
    environ = yaml_file(tmp_path, "engine:\n  games: 3\n  polices: [random]\n")
    [problem] = problems(environ)
    assert problem.startswith(f"engine.polices: unknown key ({tmp_path}/dev.yaml:3). Did you mean policies?")
    assert "games" in problem


def test_an_unknown_nested_key_is_compared_with_its_own_group() -> None:
    [problem] = problems({"GENERALS_KAFKA__BOOTSTRAP_SERVER": "a:1"})
    assert "environment variable GENERALS_KAFKA__BOOTSTRAP_SERVER" in problem
    assert "Did you mean bootstrap_servers?" in problem


def test_an_unknown_section_is_an_error(tmp_path: Path) -> None:
    [problem] = problems(yaml_file(tmp_path, "kafak: {bootstrap_servers: 'a:1'}\n"))
    assert problem.startswith("kafak: unknown section (")
    assert "dev.yaml:1). Did you mean kafka?" in problem
    assert "Did you mean kafka?" in problem


def test_every_wrong_value_is_one_line_with_its_value_and_what_is_allowed(tmp_path: Path) -> None:
    environ = yaml_file(tmp_path, "engine: {games: 0}\nobservability: {log_level: loud}\n")
    environ["GENERALS_ENGINE__MAP__WIDTH"] = "wide"
    lines = sorted(problems(environ))
    assert len(lines) == 3
    assert all("\n" not in line for line in lines)
    assert lines[0].startswith(f"engine.games: 0 is not allowed ({tmp_path}/dev.yaml:1): input should be greater")
    assert "engine.map.width: 'wide' is not allowed (environment variable GENERALS_ENGINE__MAP__WIDTH)" in lines[1]
    assert "observability.log_level: 'loud' is not allowed" in lines[2]
    assert "'debug', 'info', 'warning' or 'error'" in lines[2]


def test_a_secrets_value_is_never_in_an_error(tmp_path: Path) -> None:
    lines = problems(yaml_file(tmp_path, "engine: {api_token: [hunter2]}\n"))
    assert "hunter2" not in "".join(lines)
    assert "(hidden)" in "".join(lines)


@pytest.mark.parametrize("servers", ["", "host", "host:", "host:0", "host:70000", "kafka://a:1", "a:1,,b:2", "a b:1"])
def test_a_server_must_be_host_and_port(servers: str) -> None:
    [problem] = problems({"GENERALS_KAFKA__BOOTSTRAP_SERVERS": servers})
    assert "is no host:port" in problem


def test_sasl_without_credentials_says_what_is_missing() -> None:
    [problem] = problems({"GENERALS_KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "GENERALS_KAFKA__SASL_USERNAME": "me"})
    assert "needs sasl_mechanism, sasl_password too" in problem


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    [problem] = problems(yaml_file(tmp_path, "engine:\n  games: 3\n  games: 4\n"))
    assert "engine.games: stands twice" in problem


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("engine: [", "is no YAML"), ("- engine", "must be a mapping"), ("engine: 3", "engine: 3 is not allowed")],
)
def test_a_file_of_another_form_is_one_problem(tmp_path: Path, text: str, complaint: str) -> None:
    [problem] = problems(yaml_file(tmp_path, text))
    assert complaint in problem


def test_a_missing_file_is_named() -> None:
    [problem] = problems({"GENERALS_CONFIG": "/nowhere/x.yaml"})
    assert "the configuration /nowhere/x.yaml cannot be read: No such file" in problem


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        EngineLike().games = 4


def test_the_client_configuration_has_what_was_set_and_nothing_else() -> None:
    kafka = KafkaSettings(
        bootstrap_servers="k:9093", security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="u",
        sasl_password=SecretStr("p"), ssl_ca_location=Path("ca.pem"),
    )  # fmt: skip
    assert kafka.client_config() == {
        "bootstrap.servers": "k:9093", "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u", "sasl.password": "p", "ssl.ca.location": "ca.pem",
    }  # fmt: skip
    assert "'p'" not in repr(kafka)


def test_topics_carry_the_prefix() -> None:
    topics = KafkaSettings(topic_prefix="blue.").topics()
    assert topics.transitions.name == "blue.generals.transitions"
