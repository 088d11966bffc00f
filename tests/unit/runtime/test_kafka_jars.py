"""What a user is told when the embedded broker cannot be had."""

from pathlib import Path

import pytest

from generals_runtime import kafka_jars
from generals_runtime.kafka_jars import BrokerUnavailable, find_jars, find_java


def test_a_folder_without_jars_is_named_with_what_it_lacks_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kafka-clients-4.3.0.jar").touch()
    monkeypatch.setenv("GENERALS_KAFKA_JARS", str(tmp_path))
    with pytest.raises(BrokerUnavailable) as caught:
        find_jars()
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "kafka_2.13-*.jar" in message
    assert "kafka-clients-*.jar," not in message
    assert "python -m generals_runtime.broker fetch" in message


def test_the_variable_wins_over_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("kafka_2.13-9.jar", "kafka-clients-9.jar", "slf4j-api-1.jar", "slf4j-simple-1.jar"):
        (tmp_path / name).touch()
    monkeypatch.setenv("GENERALS_KAFKA_JARS", str(tmp_path))
    assert find_jars() == tmp_path


def test_a_wrong_java_home_is_an_error_not_a_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(BrokerUnavailable, match="JAVA_HOME"):
        find_java()


def test_a_machine_without_java_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrokerUnavailable, match="Install Java 17"):
        find_java()


def test_fetching_without_maven_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrokerUnavailable, match="Install Maven"):
        kafka_jars.fetch_jars()
