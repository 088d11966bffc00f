"""Every format gives back exactly what it was given, and its own tools read the same values."""

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.random import Generator, default_rng
from synthetic_play import Game, play, play_chunk

from generals_schemas.codec import encode_batch
from generals_schemas.records import ExperienceBatch, PolicyRef, Source
from generals_writer.errors import CorruptObject
from generals_writer.formats import Format, format_of, get_format, states
from generals_writer.formats.columns import COLUMNS, offsets_of
from generals_writer.formats.entries import Entry, archive_order, blocks_of, log_order
from generals_writer.formats.tf_example import example, feature, frame, frames, parse_example

METADATA = {"segment": {"topic": "generals.experiences", "first": 7}}
HOUR_MS = 3_600_000


def stored(batches: Sequence[ExperienceBatch]) -> list[Entry]:
    return [Entry(batch, 100 + 3 * n, 1_750_000_000_123 + n) for n, batch in enumerate(batches)]


def odd_batches(rng: Generator) -> list[ExperienceBatch]:
    """Batches that differ in everything that may differ within one object."""
    batches = []
    for n in range(24):
        game = Game(rng, f"odd-{n % 7}-é", int(rng.integers(1, 20)) + 2, int(rng.integers(1, 20)) + 2)
        source = Source("generals.transitions", "id", 3, n, 0, 2)
        for batch in play_chunk(game, int(rng.integers(1, 6)), source=source, log_probs=bool(n % 2)):
            tiles = batch.width * batch.height
            wide = n % 3 == 0
            top = int(rng.choice([200, 300, 65_535, 70_000, 20_000_000, 4_000_000_000])) if wide else 65_535
            armies = rng.integers(0, top, (batch.steps + 1, tiles), np.int64).astype(np.uint32 if wide else np.uint16)
            scalars = rng.normal(size=(batch.steps + 1, n % 3)).astype(np.float32)
            batches.append(
                replace(
                    batch,
                    armies=armies,
                    scalars=scalars,
                    scalar_names=tuple(f"s{i}" for i in range(n % 3)),
                    encoding_params={"army_scale": 500.0 + n % 2},
                    end=("none", "terminated", "truncated")[n % 3],
                    policy=PolicyRef("learner", 2**40 + n),
                    config_version=f"v{n % 4}",
                )
            )
    return batches


def assert_same(given: Sequence[Entry], found: Sequence[Entry]) -> None:
    assert [(e.offset, e.timestamp_ms) for e in found] == [(e.offset, e.timestamp_ms) for e in given]
    for a, b in zip(given, found, strict=True):
        assert encode_batch(b.batch) == encode_batch(a.batch), a.batch.game_id


@pytest.fixture(params=["parquet", "npz", "tfrecord"])
def form(request: pytest.FixtureRequest) -> Format:
    return get_format(request.param)


@pytest.fixture
def game_play(seed: int) -> list[Entry]:
    return stored(list(play(default_rng(seed), games=4, chunks=3, ticks=16)))


def test_real_looking_play_comes_back_exactly(form: Format, game_play: list[Entry]) -> None:
    data = form.write(game_play, METADATA)
    assert_same(game_play, log_order(form.read(data)))
    assert form.metadata(data)["segment"] == METADATA["segment"]


def test_batches_that_differ_in_everything_come_back_exactly(form: Format, seed: int) -> None:
    entries = stored(odd_batches(default_rng(seed)))
    assert_same(entries, log_order(form.read(form.write(entries, METADATA))))


def test_the_order_of_arrival_does_not_change_the_bytes(form: Format, game_play: list[Entry]) -> None:
    assert form.write(game_play, METADATA) == form.write(game_play[::-1], METADATA)


def test_keys_are_those_of_every_step(form: Format, game_play: list[Entry]) -> None:
    keys = form.keys(form.write(game_play, METADATA))
    found = [
        (keys.game_id.values[code], int(player), int(tick))
        for code, player, tick in zip(keys.game_id.codes, keys.player, keys.tick, strict=True)
    ]
    expected = {
        (e.batch.game_id, e.batch.player, e.batch.first_tick + i) for e in game_play for i in range(e.batch.steps)
    }
    assert len(found) == len(expected)
    assert set(found) == expected


def test_a_cut_object_is_corrupt(form: Format, game_play: list[Entry]) -> None:
    data = form.write(game_play, METADATA)
    for cut in (0, 3, len(data) // 2, len(data) - 1):
        with pytest.raises(CorruptObject):
            list(form.read(data[:cut]))


def test_a_format_is_known_by_its_name_and_extension() -> None:
    found = format_of("a/b.parquet")
    assert found is not None
    assert found.name == "parquet"
    assert format_of("_index.json") is None
    with pytest.raises(ValueError, match="parquet, npz, tfrecord"):
        get_format("csv")


class TestParquet:
    """What a reader sees who has only pyarrow or DuckDB."""

    @pytest.fixture
    def table(self, game_play: list[Entry]) -> pa.Table:
        return pq.read_table(io.BytesIO(get_format("parquet").write(game_play, METADATA)))

    def test_there_is_one_row_an_experience_sorted_by_its_key(self, table: pa.Table, game_play: list[Entry]) -> None:
        keys = list(zip(*(table.column(name).to_pylist() for name in ("game_id", "player", "tick")), strict=True))
        assert len(keys) == sum(entry.batch.steps for entry in game_play)
        assert keys == sorted(set(keys))

    def test_the_columns_are_those_documented(self, table: pa.Table) -> None:
        assert table.schema.names == [column.name for column in COLUMNS]

    def test_states_are_read_with_numpy_alone(self, table: pa.Table, game_play: list[Entry]) -> None:
        rows = {(row["game_id"], row["player"], row["tick"]): row for row in table.to_pylist()}
        for entry in game_play:
            batch = entry.batch
            for step in range(batch.steps):
                row = rows[batch.game_id, batch.player, batch.first_tick + step]
                assert (row["action"], np.float32(row["reward"])) == (batch.actions[step], batch.rewards[step])
                np.testing.assert_array_equal(armies_of(row, ""), batch.armies[step])
                assert row["planes"] == batch.bits[step].tobytes()
                after = rows.get((batch.game_id, batch.player, batch.first_tick + step + 1))
                source, prefix = (after, "") if row["next_armies"] is None else (row, "next_")
                assert source is not None
                np.testing.assert_array_equal(armies_of(source, prefix), batch.armies[step + 1])
                assert source[prefix + "planes"] == batch.bits[step + 1].tobytes()

    def test_a_batch_that_goes_on_does_not_store_its_last_state_twice(self, table: pa.Table) -> None:
        games_and_players = 4 * 2
        assert table.num_rows - table.column("next_armies").null_count == games_and_players

    def test_duckdb_filters_by_game_player_and_reward(
        self, table: pa.Table, game_play: list[Entry], tmp_path: Path
    ) -> None:
        path = tmp_path / "x.parquet"
        path.write_bytes(get_format("parquet").write(game_play, METADATA))
        wanted = game_play[0].batch.game_id
        query = "select count(*) from read_parquet(?) where game_id = ? and player = 1 and reward > 0"
        with duckdb.connect() as connection:
            found = connection.execute(query, [str(path), wanted]).fetchall()
        expected = sum(
            int((e.batch.rewards > 0).sum()) for e in game_play if (e.batch.game_id, e.batch.player) == (wanted, 1)
        )
        assert found == [(expected,)]

    def test_statistics_let_readers_skip_by_game_player_and_reward(self, game_play: list[Entry]) -> None:
        file = pq.ParquetFile(io.BytesIO(get_format("parquet").write(game_play, METADATA)))
        names = file.schema_arrow.names
        for name in ("game_id", "player", "tick", "reward", "policy", "time"):
            statistics = file.metadata.row_group(0).column(names.index(name)).statistics
            assert statistics.has_min_max, name
        assert file.metadata.row_group(0).column(names.index("armies")).statistics is None

    def test_a_flipped_bit_in_a_page_is_noticed_by_its_checksum(self, game_play: list[Entry], seed: int) -> None:
        rng = default_rng(seed)
        data = get_format("parquet").write(game_play, METADATA)
        file = pq.ParquetFile(io.BytesIO(data))
        boards = file.metadata.row_group(0).column(file.schema_arrow.names.index("armies"))
        end = boards.data_page_offset + boards.total_compressed_size
        for at in rng.integers(boards.data_page_offset + 100, end, 20):
            damaged = bytearray(data)
            damaged[at] ^= 1 << int(rng.integers(8))
            with pytest.raises(CorruptObject):
                list(get_format("parquet").read(bytes(damaged)))


def test_npz_is_read_by_numpy_without_pickle(game_play: list[Entry], tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(get_format("npz").write(game_play, METADATA))
    rows = archive_order(game_play)
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["action"], np.concatenate([e.batch.actions for e in rows]))
        np.testing.assert_array_equal(file["reward"], np.concatenate([e.batch.rewards for e in rows]))
        assert file["game_id_values"][file["game_id"]].tolist() == [
            e.batch.game_id for e in rows for _ in range(e.batch.steps)
        ]
        start, end = file["armies_offsets"][:2]
        np.testing.assert_array_equal(file["armies"][start:end], rows[0].batch.armies[0] & 255)
        assert json.loads(file["metadata"].tobytes())["segment"] == METADATA["segment"]


class TestTFRecord:
    """Read by a plain parser here; by TensorFlow in test_tensorflow.py."""

    def test_every_frame_has_right_checksums_and_every_feature_its_value(self, game_play: list[Entry]) -> None:
        stream = gzip.decompress(get_format("tfrecord").write(game_play, METADATA))
        rows = [parse_example(data) for _, data in frames(stream)]
        batches = [entry.batch for entry in archive_order(game_play)]
        assert [row["action"] for row in rows] == np.concatenate([b.actions for b in batches]).tolist()
        assert [row["reward"] for row in rows] == np.concatenate([b.rewards for b in batches]).tolist()
        assert [row["tick"] for row in rows] == [b.first_tick + i for b in batches for i in range(b.steps)]
        assert rows[0]["planes"] == batches[0].bits[0].tobytes()
        assert rows[0]["game_id"] == batches[0].game_id.encode()

    def test_frames_and_examples_are_the_bytes_that_tensorflow_2_21_writes(self) -> None:
        assert frame(b"abc").hex() == "0300000000000000b099490e6162636e57f121"
        assert example(feature("a", -1)).hex() == "0a150a130a0161120e1a0c0a0affffffffffffffffff01"
        assert example(feature("b", 0.5)).hex() == "0a0f0a0d0a0162120812060a040000003f"
        assert example(feature("c", b"xyz")).hex() == "0a0e0a0c0a016312070a050a0378797a"

    def test_the_index_says_where_each_record_begins(self, game_play: list[Entry]) -> None:
        form = get_format("tfrecord")
        assert form.index is not None
        data = form.write(game_play, METADATA)
        stream = gzip.decompress(data)
        places = [tuple(map(int, line.split())) for line in form.index(data).splitlines()]
        assert len(places) == sum(e.batch.steps for e in game_play)
        at, length = places[len(places) // 2]
        assert len(list(frames(stream[at : at + length]))) == 1
        assert places[-1][0] + places[-1][1] == len(stream)


def test_blocks_stay_within_rows_and_bytes_and_need_no_other_block(game_play: list[Entry]) -> None:
    runs = list(blocks_of(archive_order(game_play), rows=40, state_bytes=10**9))
    assert max(sum(e.batch.steps for e in run) for run in runs) <= 40
    assert [e for run in runs for e in run] == archive_order(game_play)
    assert len(list(blocks_of(archive_order(game_play), rows=10**9, state_bytes=1))) == len(game_play)


def armies_of(row: dict[str, Any], prefix: str) -> Any:
    """As the documentation of the columns says."""
    low, high = row[prefix + "armies"], row[prefix + "armies_high"] or b""
    bytes_of_tile = np.frombuffer(low + high, np.uint8).reshape(-1, len(low)).astype(np.int64)
    return sum(plane << (8 * n) for n, plane in enumerate(bytes_of_tile))


def test_offsets_beyond_two_gib_are_eight_bytes_wide(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offsets_of(np.full(600_000, 64 * 64)).tolist()[-1] == 600_000 * 64 * 64
    assert offsets_of(np.array([3, 0, 4])).dtype == np.int32
    entries = stored(odd_batches(default_rng(seed)))
    monkeypatch.setattr(states, "offsets_of", lambda lengths: offsets_of(lengths).astype(np.int64))
    npz = get_format("npz")
    found = list(npz.read(npz.write(entries, METADATA)))
    assert [encode_batch(entry.batch) for entry in found] == [encode_batch(e.batch) for e in archive_order(entries)]
