"""The topics of `topics.yaml`, loaded once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic's contract and creation settings."""

    name: str
    purpose: str
    key: str
    value: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    partitions: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class Topics:
    """The five topics of one deployment."""

    transitions: TopicSpec
    experiences: TopicSpec
    games: TopicSpec
    policies: TopicSpec
    dead_letter: TopicSpec

    def __iter__(self) -> Iterator[TopicSpec]:
        return iter((self.transitions, self.experiences, self.games, self.policies, self.dead_letter))

    def with_partitions(self, partitions: int) -> "Topics":
        """The same with another number of partitions for transitions and experiences."""
        return replace(
            self,
            transitions=replace(self.transitions, partitions=partitions),
            experiences=replace(self.experiences, partitions=partitions),
        )

    def with_prefix(self, prefix: str) -> "Topics":
        """The same under other names: `prefix` + name. Deployments that share a broker are kept apart so."""
        return Topics(*(replace(spec, name=prefix + spec.name) for spec in self))


@cache
def load_topics() -> Topics:
    """Read `topics.yaml`."""
    raw = yaml.safe_load(resources.files(__package__).joinpath("topics.yaml").read_text())
    specs = {
        key: TopicSpec(**{**entry, "producers": tuple(entry["producers"]), "consumers": tuple(entry["consumers"])})
        for key, entry in raw.items()
    }
    return Topics(**specs)


TOPICS = load_topics()
