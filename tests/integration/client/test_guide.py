"""Every snippet of the consumers' guide runs, on a real broker with real topics."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experience_keys import expected
from synthetic_play import play

from generals_runtime.broker import EmbeddedBroker
from generals_runtime.kafka import ensure_topics, make_producer
from generals_runtime.settings import KafkaSettings
from generals_schemas.codec import encode_batch
from generals_schemas.topics import TOPICS

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "consumers.md"
SNIPPETS = re.findall(r"## ([^\n]+)\n(?:(?!\n## ).)*?```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.timeout(150)
def test_every_snippet_of_the_guide_does_what_it_says(
    seed: int, own_broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    ensure_topics(settings, TOPICS.with_partitions(2))
    rng = np.random.default_rng(seed)
    records = [r for n in (0, 1) for r in play(rng, games=3, chunks=3, ticks=40, side=(6, 7), partition=n)]
    total = len(expected(records))
    producer = make_producer(settings)
    for record in records:
        producer.produce(TOPICS.experiences.name, encode_batch(record), partition=record.source.partition)
    assert producer.flush(30) == 0
    monkeypatch.chdir(tmp_path)

    def run(title: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        code = dict(SNIPPETS)[title].replace("localhost:9092", own_broker.bootstrap_servers)
        exec(compile(code, f"{GUIDE.name}: {title}", "exec"), found)  # noqa: S102 - code of a page in this repository, which it tests
        return found

    assert run("Attach a group in ten lines")["steps"] == total
    assert not run("Stop at the end, or follow")["ends"].all()
    begun = run("Where to begin")
    assert (begun["replayed"], begun["from_offsets"]) == (total, total - 2 * 40)
    totals = []
    while not totals or totals[-1] < total:
        totals.append(run("Checkpoints")["saved"]["total"])
    assert totals[0] < totals[-1] == total, "several runs, nothing lost or doubled"
    sampled = run("Filters and samples")["sampled"]
    assert 0 < len(sampled) < total / 2
    assert 0 < run("Sums of several rewards")["shorter"] < 1
    assert run("Symmetries")["symmetry"] == 7
    assert run("Whole records")["line"][2].startswith("run-")
    assert len(SNIPPETS) == 8, "every section with code is run above"


def test_the_first_snippet_is_ten_lines() -> None:
    assert len(SNIPPETS[0][1].strip().splitlines()) <= 10
