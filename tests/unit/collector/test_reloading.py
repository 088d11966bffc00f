"""A configuration that changes while the collector runs."""

import os
from pathlib import Path

import pytest

from generals_collector.reloading import Reloader
from generals_collector.settings import CollectorSettings
from generals_runtime.settings import SettingsError, load


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Situation:
    """A reloader over a file, and what it applied."""

    def __init__(self, file: Path, text: str) -> None:
        self.file, self.clock = file, Clock()
        self.applied: list[CollectorSettings] = []
        file.write_text(text)
        self.reloader = Reloader(
            load(CollectorSettings, environ={}, config=file), self.applied.append, file=file, clock=self.clock
        )

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self.clock.now += 10
        self.reloader.look()


@pytest.fixture
def situation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Situation:
    for name in [name for name in os.environ if name.startswith("GENERALS_")]:
        monkeypatch.delenv(name)
    return Situation(tmp_path / "generals.yaml", "collector: {reward_params: {win: 2.0}}\n")


def test_new_weights_are_applied_and_have_another_version(situation: Situation) -> None:
    before = situation.reloader.settings.version
    situation.write("collector: {reward_params: {win: 3.0}, limits: {in_a_row: 7}}\n")
    (new,) = situation.applied
    assert new.recipe().reward_params == {"win": 3.0}
    assert new.limits.in_a_row == 7
    assert new.version == new.recipe().version != before
    assert situation.reloader.settings is new


def test_how_much_is_logged_may_change(situation: Situation) -> None:
    situation.write("observability: {log_level: warning, follow_game: g1}\n")
    assert situation.reloader.settings.observability.log_level == "warning"


@pytest.mark.parametrize(
    "wrong",
    [
        "collector: {reward: nice}\n",
        "collector: {reward_params: {wim: 3.0}}\n",
        "collector: {reward_params: {win: .nan}}\n",
        "collector: {encoding: tensor}\n",
        "collector: {encoding_params: {army_scale: .inf}}\n",
        "collector: {groop: x}\n",
        "collector: {group: another}\n",
        "kafka: {bootstrap_servers: 'elsewhere:9092'}\n",
        "observability: {stall_after_s: 7}\n",
        "observability: {log_level: debug, log_format: text}\n",
        "collector: {reward: 'broken_module:REWARD'}\n",
        "collector: {encoding: 'broken_module:ENCODING'}\n",
        "collector: [\n",
    ],
)
def test_a_wrong_configuration_is_refused_and_the_old_one_stays(
    situation: Situation, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('not today')\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = situation.reloader.settings
    situation.write(wrong)
    assert situation.applied == []
    assert situation.reloader.settings is before
    situation.write("collector: {reward_params: {win: 4.0}}\n")
    assert [new.reward_params for new in situation.applied] == [{"win": 4.0}]


def test_the_file_is_looked_at_no_more_often_than_said_and_a_missing_one_changes_nothing(situation: Situation) -> None:
    situation.reloader.look()
    situation.file.write_text("collector: {reward_params: {win: 5.0}}\n")
    situation.clock.now += 1.9
    situation.reloader.look()
    assert situation.applied == []
    situation.file.unlink()
    situation.clock.now += 10
    situation.reloader.look()
    assert situation.applied == []


def test_wrong_settings_are_named_with_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / "generals.yaml"
    file.write_text("collector: {reward: nice}\n")
    with pytest.raises(SettingsError, match="reward 'nice' is unknown; there are outcome, potential, standard"):
        load(CollectorSettings, environ={}, config=file)
