"""The guide's live recipe: a new consumer group goes on where the archive ends, on a real broker."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from writer_process import WriterProcess, wait_until_archived

from generals_runtime.objects import open_store
from generals_runtime.settings import KafkaSettings
from generals_schemas.records import ExperienceBatch
from generals_writer.archive import positions

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "archive.md"


def live_recipe(kafka: str, topic: str) -> str:
    """The code of the guide's last section, for another broker and topic."""
    section = GUIDE.read_text(encoding="utf-8").split("## From the past into the present")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert '"localhost:9092"' in code
    assert '"generals.experiences"' in code
    return str(code).replace("localhost:9092", kafka).replace("generals.experiences", topic)


def ends_by_version(batches: list[ExperienceBatch]) -> Counter[tuple[str, int]]:
    """How many players' games ended, by their policy and its version."""
    return Counter((batch.policy.name, batch.policy.version) for batch in batches if batch.end != "none")


@pytest.mark.partitions(2)
def test_a_new_group_counts_what_was_archived_and_what_came_since_each_once(
    tmp_path: Path,
    topics_for_test: Any,
    produce: Callable[..., None],
    made_up_play: Callable[..., list[ExperienceBatch]],
    writer_process: Callable[..., WriterProcess],
    kafka_settings: KafkaSettings,
) -> None:
    topic, archive = topics_for_test.experiences, str(tmp_path / "archive")
    past = [made_up_play(partition, games=8, chunks=5) for partition in (0, 1)]
    halves = [len(batches) // 2 for batches in past]
    produce(topic, [batch for batches, half in zip(past, halves, strict=True) for batch in batches[:half]])
    writer = writer_process(
        topics_for_test.prefix, [{"name": "a", "url": archive}], records=15, idle_seconds=1.0
    ).start()
    wait_until_archived(open_store(archive), dict(enumerate(halves)), topic, writer)
    assert writer.stop() == 0
    produce(topic, [batch for batches, half in zip(past, halves, strict=True) for batch in batches[half:]])

    names: dict[str, Any] = {"ARCHIVE": archive}
    exec(live_recipe(kafka_settings.bootstrap_servers, topic), names)  # noqa: S102 - code of a page in this repository, which it tests
    everything = [batch for batches in past for batch in batches]
    assert names["played"] == ends_by_version(everything)
    assert sum(names["played"].values()) > sum(ends_by_version(past[0][: halves[0]]).values())
    won = ends_by_version([batch for batch in everything if batch.rewards[-1] > 0.5])
    assert names["won"] == won
    assert names["win_rates"] == {player: won[player] / games for player, games in names["played"].items()}
    assert {p.partition: p.offset for p in positions(open_store(archive), topic)} == dict(enumerate(halves))
