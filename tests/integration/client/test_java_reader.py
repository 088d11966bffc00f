"""A reader of another language, with Apache's own Avro and Kafka clients, sees what ours sees: the contract is open."""

import json
import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_play import PLANES, play

from generals_client import Batch, ExperienceStream
from generals_client.expand import expand
from generals_schemas.encodings import get_encoding
from generals_schemas.records import ExperienceBatch

ROOT = Path(__file__).parents[3]
READER = ROOT / "docs" / "readers" / "java"
SCHEMAS = ROOT / "schemas" / "generals_schemas" / "avro"


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [tool for tool in ("mvn", "javac") if shutil.which(tool) is None]
    assert not missing, f"{', '.join(missing)} not on PATH: install Maven and a JDK (a JRE cannot run a source file)"
    folder = tmp_path_factory.mktemp("jars")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    subprocess.run(["mvn", "-q", "-B", "-f", READER / "pom.xml", *goal], check=True)
    return folder


def read_in_java(jars: Path, servers: str, topic: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    command = ["java", "-cp", f"{jars}/*", READER / "ExperienceReader.java", servers, topic, SCHEMAS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for line in found:
        line["reward"] = float(np.float32(line["reward"]))  # printed with as many digits as a float32 needs
    return found, json.loads(done.stderr.splitlines()[-1])


def lines(batch: Batch) -> list[dict[str, Any]]:
    """What the program prints of these experiences."""
    return [
        {
            "game_id": str(batch.game_id[n]),
            "player": int(batch.player[n]),
            "tick": int(batch.tick[n]),
            "action": int(batch.action[n]),
            "reward": float(batch.reward[n]),
            "terminated": bool(batch.terminated[n]),
            "truncated": bool(batch.truncated[n]),
            "state": zlib.crc32(batch.state[n].astype("<f4").tobytes()),
            "next_state": zlib.crc32(batch.next_state[n].astype("<f4").tobytes()),
            "action_mask": zlib.crc32(batch.action_mask[n].tobytes()),
        }
        for n in range(len(batch))
    ]


def with_stored_sight(batch: ExperienceBatch) -> ExperienceBatch:
    """As records were before ADR 0014: `visible` is their fifth plane."""
    planes = expand(
        get_encoding("nine_planes"), armies=batch.armies, bits=batch.bits, scalars=batch.scalars,
        rows=np.arange(batch.steps + 1), width=batch.width, height=batch.height,
    )  # fmt: skip
    visible = np.packbits(planes[:, 7].reshape(batch.steps + 1, 1, -1) > 0, axis=2, bitorder="little")
    return replace(batch, planes=(*PLANES, "visible"), bits=np.concatenate([batch.bits, visible], axis=1))


def mixed(rng: np.random.Generator) -> list[ExperienceBatch]:
    """Two partitions; boards of all sizes, wide armies, another scale, log-probabilities, records of before, an end."""
    plain = [r for n in (0, 1) for r in play(rng, games=6, chunks=2, ticks=20, side=(5, 24), partition=n)]
    kinds: list[Callable[[ExperienceBatch], ExperienceBatch]] = [
        lambda r: r,
        lambda r: replace(r, armies=(r.armies.astype(np.uint32) * 100_003)),
        lambda r: replace(r, encoding_params={"army_scale": 37.0}),
        lambda r: replace(r, log_probs=-rng.random(r.steps).astype(np.float32)),
        with_stored_sight,
    ]
    made = [kinds[n % len(kinds)](record) for n, record in enumerate(plain)]
    return [*made[:-1], replace(made[-1], end="terminated")]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_reads_the_same_tensors_and_drops_the_same_repeats(
    jars: Path, kafka: str, topics_for_test: Any, seed: int, produce: Callable[..., None]
) -> None:
    records = mixed(np.random.default_rng(seed))
    marker = ExperienceBatch.rejection(reason="checksum", source=replace(records[4].source, count=1))
    again = [records[3], marker, *records[6:9]]
    written = [*records[:3], *again, *again, *records[9:], *records[-2:]]
    produce(written)
    found, dropped = read_in_java(jars, kafka, topics_for_test.experiences)
    with ExperienceStream(
        bootstrap_servers=kafka, group="beside", topic=topics_for_test.experiences, batch_size=64
    ) as stream:
        ours = [line for batch in stream for line in lines(batch)]
        repeats, rejected = stream.stats.repeats, stream.stats.rejected

    def key(line: dict[str, Any]) -> tuple[str, int, int]:
        return line["game_id"], line["player"], line["tick"]

    assert len(ours) == 20 * (len(records) - 2), "all but those of the rejected chunk"
    assert sorted(found, key=key) == sorted(ours, key=key)
    assert dropped == {"repeats": repeats, "rejected": rejected} == {"repeats": 7, "rejected": 1}
