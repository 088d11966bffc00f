"""What the settings name: policies made from the engine's own settings."""

import secrets
from functools import cache
from itertools import count

from generals_engine.settings import EngineSettings
from generals_engine.trained.playing import NewestPolicy, PastPolicy
from generals_engine.trained.watching import PolicyWatcher
from generals_runtime.settings import load

WAIT_S = 20.0
_MOST_POLICIES = 1024
_made = count()
"""How many policies this process has made."""


def newest() -> NewestPolicy:
    """The newest version of the trainer's policy, newer ones as they are published."""
    settings = load(EngineSettings)
    return NewestPolicy(settings.trained, _watcher().newest, seed=_seed(settings))


def past() -> PastPolicy:
    """The last versions of the trainer's policy, one drawn for each game."""
    settings = load(EngineSettings)
    watcher, every = _watcher(), settings.trained.past_every
    return PastPolicy(settings.trained.name, lambda: watcher.versions()[::-every][::-1], seed=_seed(settings))


def _seed(settings: EngineSettings) -> int:
    """Of exploration; no two workers of a run have the same one, and no two policies of a worker."""
    if settings.seed is None:
        return secrets.randbits(62)
    return (settings.seed * settings.workers + settings.worker) * _MOST_POLICIES + next(_made) % _MOST_POLICIES


@cache
def _watcher() -> PolicyWatcher:
    """One for both: a process loads each version once."""
    settings = load(EngineSettings)
    watcher = PolicyWatcher(
        settings.kafka, settings.trained.name, keep=settings.trained.past_versions * settings.trained.past_every
    )
    watcher.wait(WAIT_S)
    return watcher
