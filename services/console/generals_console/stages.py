"""The stages of the pipeline as the demo sees them: one reading of every service's metrics, and what it says."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from generals_console.scrape import Scrape, scrape


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of all services at one moment. Counts are experiences where not said otherwise.

    left_out: read by the trainer and, by its settings, not inserted.
    """

    at_s: float
    ticks: int = 0
    games_running: int = 0
    games_finished: int = 0
    collected: int = 0
    archived: int = 0
    inserted: int = 0
    left_out: int = 0
    trainer_steps: int = 0
    loss: float = 0.0
    rejected: int = 0
    services: Mapping[str, Scrape] = field(default_factory=dict)

    @property
    def trainer_has_all(self) -> bool:
        """Whether the trainer has taken, or left out, all that was collected. Not known if either does not answer."""
        answered = all(self.services[name].samples for name in ("collector", "trainer"))
        return answered and self.inserted + self.left_out >= self.collected


def read_stages(ports: Mapping[str, int]) -> Reading:
    """Scrape all services once; one that is not up yet counts nothing."""
    services = {name: scrape(port) for name, port in ports.items()}
    engines = [services[name] for name in ("engine", "player")]
    collector, writer, trainer = services["collector"], services["writer"], services["trainer"]
    return Reading(
        at_s=time.monotonic(),
        ticks=sum(int(engine.total("generals_ticks_total")) for engine in engines),
        games_running=sum(int(engine.total("generals_games_running")) for engine in engines),
        games_finished=sum(int(engine.total("generals_games_finished_total")) for engine in engines),
        collected=int(collector.total("generals_experiences_total")),
        archived=int(writer.total("generals_archived_experiences_total")),
        inserted=int(trainer.total("generals_buffer_inserted_total")),
        left_out=int(trainer.total("generals_buffer_left_out_total")),
        trainer_steps=int(trainer.total("generals_trainer_steps_total")),
        loss=trainer.total("generals_trainer_loss"),
        rejected=int(collector.total("generals_validation_failures_total")),
        services=services,
    )


def rate(before: Reading, after: Reading, name: str) -> float:
    """Growth of a counter per second between two readings."""
    seconds = after.at_s - before.at_s
    grown = float(getattr(after, name) - getattr(before, name))
    return max(0.0, grown / seconds) if seconds > 0 else 0.0
