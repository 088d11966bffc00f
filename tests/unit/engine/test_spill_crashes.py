"""Engines that die at any line of the spilling code, again and again, over a broker that comes and goes."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from numpy.random import Generator, default_rng
from prometheus_client import CollectorRegistry
from simulated_kafka import Broker, Client, Clock, Killed, Reader, Sent, bury, killed_after

from generals_engine.outbox import NotNow
from generals_engine.outbox_spilling import SpillingOutbox
from generals_engine.outbox_window import Window
from generals_engine.spill_frames import Spot
from generals_engine.spill_log import SpillLog
from generals_engine.spill_recovery import Recovery
from generals_engine.spill_segments import records, scan
from generals_runtime.kafka import DeliveryFailed
from generals_runtime.metrics import Metrics

# The dead do not close their files.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

CHUNKS, GAMES = "chunks", "games"
SPOTS: list[Spot] = [(CHUNKS, 0), (CHUNKS, 1), (GAMES, 0)]
IDS = {CHUNKS: "id-of-chunks", GAMES: "id-of-games"}
SETTLE_S, AWAY_S = 1.0, 2.0
CODE = ("spill_", "outbox_")


@dataclass
class World:
    """What outlives processes, and what is written down about them."""

    rng: Generator
    folder: Path
    clock: Clock = field(default_factory=Clock)
    taken: list[tuple[Spot, Sent]] = field(default_factory=list)
    promised: set[Sent] = field(default_factory=set)
    lives: int = 0

    def __post_init__(self) -> None:
        self.broker = Broker(self.clock)

    def outbox(self, client: Client) -> SpillingOutbox:
        ends = {spot: len(self.broker.logs[spot]) for spot in SPOTS}
        log = SpillLog(self.folder, max_bytes=6000, ends=ends, ids=IDS, clock=self.clock)
        recovery = Recovery(log, Reader(self.broker), IDS, settle_s=SETTLE_S, clock=self.clock)
        window = Window(client, records=int(self.rng.integers(1, 12)), size=1500, clock=self.clock)
        return SpillingOutbox(
            window, log, recovery, Metrics(CollectorRegistry()).engine,
            chunks=CHUNKS, away_after_s=AWAY_S, wait_s=0.2, close_s=2.0, clock=self.clock,
        )  # fmt: skip

    def note_the_disk(self) -> None:
        """Whatever lies whole on disk when a process dies must be in the log in the end."""
        for path in self.folder.glob("*.spill"):
            segment = scan(path)
            self.promised |= {(record.key, record.value) for _, record in records(segment)} if segment else set()


class Life:
    """One process: games whose chunks are put into an outbox in order."""

    def __init__(self, world: World) -> None:
        self.world, self.client = world, Client(world.broker)
        self._games: dict[bytes, int] = {}
        self._started = 0
        self._offered: tuple[Spot, Sent] | None = None
        world.lives += 1

    def live(self, steps: int) -> None:
        outbox, rng = self.world.outbox(self.client), self.world.rng
        for _ in range(steps):
            self.world.clock.now += float(rng.exponential(0.2))
            self.world.broker.land()
            choice = rng.random()
            if choice < 0.6:
                self._put(outbox)
            elif choice < 0.75:
                outbox.pump(0.05)
            elif choice < 0.95:
                self.client.take(SPOTS[int(rng.integers(3))], int(rng.integers(1, 8)), report=rng.random() < 0.9)
            elif choice < 0.99:
                self.world.broker.up, self.world.broker.hides = rng.random() < 0.6, rng.random() < 0.3
            else:
                self.client.failed = rng.random() < 0.1
        if rng.random() < 0.3:
            outbox.close()

    def drain(self) -> None:
        """A healthy end."""
        outbox = self.world.outbox(self.client)
        self.world.broker.up, self.world.broker.hides = True, False
        for _ in range(2000):
            outbox.pump(0.05)
            for spot in SPOTS:
                self.client.take(spot, 5)
            if not outbox.unsent:
                break
        assert outbox.unsent == 0
        assert outbox.close() == 0

    def _put(self, outbox: SpillingOutbox) -> None:
        spot, (key, value) = self._offered = self._offered or self._next()
        try:
            outbox.put(*spot, key, value, 7)
        except NotNow:
            return
        self.world.taken.append(self._offered)
        self._offered = None

    def _next(self) -> tuple[Spot, Sent]:
        rng = self.world.rng
        if not self._games or (len(self._games) < 4 and rng.random() < 0.3):
            self._started += 1
            self._games[b"life%d-game%d" % (self.world.lives, self._started)] = 0
        key = list(self._games)[int(rng.integers(len(self._games)))]
        chunk = self._games[key]
        if chunk and rng.random() < 0.15:
            del self._games[key]
            return (GAMES, 0), (key, b"summary")
        self._games[key] += 1
        filling = b"x" * int(rng.integers(0, 120))
        return (CHUNKS, len(key) % 2), (key, b"%d %s" % (chunk, filling))


@pytest.fixture(autouse=True)
def a_fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fsync is for cannot be simulated here; power cuts are, by cutting files."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def a_death(world: World, rng: Generator, *, lines: int, steps: int) -> None:
    life = Life(world)
    try:
        with killed_after(lines, CODE):
            life.live(steps)
    except (Killed, DeliveryFailed):
        pass
    bury(world.folder)
    world.note_the_disk()
    life.client.die(rng, SETTLE_S * 0.9)


def logged(world: World) -> dict[Spot, list[Sent]]:
    return {spot: world.broker.logs[spot] for spot in SPOTS}


def games_without_gaps(world: World) -> None:
    chunks: dict[bytes, list[int]] = {}
    for spot in SPOTS[:2]:
        for key, value in world.broker.logs[spot]:
            chunks.setdefault(key, []).append(int(value.split()[0]))
    for key, numbers in chunks.items():
        assert numbers == list(range(len(numbers))), f"{key!r}: {numbers}"
    summaries = [key for key, _ in world.broker.logs[GAMES, 0]]
    assert len(summaries) == len(set(summaries))


def order_is_kept(world: World) -> None:
    for spot in SPOTS:
        order = {sent: number for number, (at, sent) in enumerate(world.taken) if at == spot}
        # What a life died over may be in the log though `put` never returned.
        places = [order[sent] for sent in world.broker.logs[spot] if sent in order]
        for life in {sent[0].split(b"-")[0] for _, sent in world.taken}:
            ours = [place for place in places if world.taken[place][1][0].split(b"-")[0] == life]
            assert ours == sorted(ours)


@pytest.mark.parametrize("scenarios", [25, pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_engines_killed_at_any_line_lose_nothing_that_was_on_disk_and_double_nothing(
    tmp_path: Path, seed: int, scenarios: int
) -> None:
    for scenario in range(scenarios):
        rng = default_rng([seed, scenario])
        world = World(rng, tmp_path / str(scenario))
        for _ in range(int(rng.integers(1, 6))):
            a_death(world, rng, lines=int(rng.exponential(4000)) + 1, steps=int(rng.integers(10, 250)))
            if rng.random() < 0.3:
                torn_write(world.folder, rng)
        Life(world).drain()
        in_the_log = {sent for log in logged(world).values() for sent in log}
        assert world.promised <= in_the_log, scenario
        games_without_gaps(world)
        order_is_kept(world)
        assert not list(world.folder.glob("*.spill"))


def torn_write(folder: Path, rng: Generator) -> None:
    """A record of which only the beginning was written when the process died."""
    files = sorted(folder.glob("*.spill"))
    if files:
        with files[-1].open("ab") as file:
            file.write(b"\x40\0\0\0" + rng.bytes(int(rng.integers(0, 30))))


def test_power_cuts_that_take_any_tail_of_the_last_file_leave_no_gap_and_no_double(tmp_path: Path, seed: int) -> None:
    for scenario in range(20):
        rng = default_rng([seed, scenario])
        world = World(rng, tmp_path / str(scenario))
        for _ in range(int(rng.integers(1, 6))):
            a_death(world, rng, lines=int(rng.exponential(6000)) + 1, steps=int(rng.integers(10, 250)))
            files = sorted(world.folder.glob("*.spill"))
            if files and (segment := scan(files[-1])) is not None:
                os.truncate(files[-1], int(rng.integers(segment.records_at, segment.size + 1)))
        Life(world).drain()
        games_without_gaps(world)
        order_is_kept(world)


def test_a_file_damaged_in_the_middle_costs_games_their_ends_but_no_game_has_a_gap(tmp_path: Path, seed: int) -> None:
    given_up = 0
    for scenario in range(20):
        rng = default_rng([seed, scenario])
        world = World(rng, tmp_path / str(scenario))
        world.broker.up = False
        a_death(world, rng, lines=1 << 60, steps=300)
        files = sorted(world.folder.glob("*.spill"))
        if len(files) < 2:
            continue
        victim = files[int(rng.integers(len(files) - 1))]
        content = bytearray(victim.read_bytes())
        content[int(rng.integers(len(content)))] ^= 0x10
        victim.write_bytes(content)
        Life(world).drain()
        games_without_gaps(world)
        order_is_kept(world)
        given_up += len(world.promised - {sent for log in logged(world).values() for sent in log})
    assert given_up > 0


@pytest.mark.parametrize("life_ends", ["killed", "closed"])
def test_what_waits_is_sent_by_the_successor_before_anything_of_its_own(
    tmp_path: Path, seed: int, life_ends: str
) -> None:
    rng = default_rng(seed)
    world = World(rng, tmp_path)
    world.broker.up = False
    outbox = world.outbox(Client(world.broker))
    for number in range(30):
        world.clock.now += 1
        outbox.put(CHUNKS, 0, b"old", b"%d" % number, 7)
    if life_ends == "closed":
        assert outbox.close() == 0
    bury(world.folder)
    world.broker.up = True
    client = Client(world.broker)
    outbox = world.outbox(client)
    for number in range(10):
        outbox.put(CHUNKS, 0, b"new", b"%d" % number, 7)
    while outbox.unsent:
        outbox.pump(0.05)
        client.take((CHUNKS, 0), 3)
    assert world.broker.logs[CHUNKS, 0] == [(b"old", b"%d" % n) for n in range(30)] + [
        (b"new", b"%d" % n) for n in range(10)
    ]
