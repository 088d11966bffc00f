"""A changed YAML is read while the collector runs; what may change is applied between two chunks, all of it or nothing.

A configuration that cannot be loaded, or that changes what cannot change, is refused with the reason and the old one
stays. Each content of the file is judged once.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from generals_collector.settings import CollectorSettings
from generals_runtime import logs, metrics
from generals_runtime.settings import SettingsError, load
from generals_runtime.settings_sources import CONFIG_VARIABLE

_log = structlog.get_logger("generals_collector.reloading")


class Reloader:
    """Looks at the YAML that GENERALS_CONFIG names. Without one, nothing is ever reloaded."""

    def __init__(
        self,
        settings: CollectorSettings,
        apply: Callable[[CollectorSettings], None],
        *,
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        named = os.environ.get(CONFIG_VARIABLE)
        self._file = file or (Path(named) if named else None)
        self._settings = settings
        self._apply = apply
        self._clock = clock
        self._next = clock()
        self._seen = self._digest()

    @property
    def settings(self) -> CollectorSettings:
        """The configuration in force."""
        return self._settings

    def look(self) -> None:
        """Reload if the file's content is new. Does nothing more often than `reload_every_s`."""
        if self._file is None or self._clock() < self._next:
            return
        self._next = self._clock() + self._settings.reload_every_s
        digest = self._digest()
        if digest is None or digest == self._seen:
            return
        self._seen = digest
        self._reload(self._file)

    def _digest(self) -> bytes | None:
        if self._file is None:
            return None
        try:
            return hashlib.sha256(self._file.read_bytes()).digest()
        except OSError as error:
            _log.warning("the configuration cannot be read; the old one stays", file=str(self._file), error=str(error))
            return None

    def _reload(self, file: Path) -> None:
        count = metrics.default().collector.config_reloads
        try:
            new = load(CollectorSettings, config=file)
            self._check(new)
            self._apply(new)
        except SettingsError as error:
            count.labels("refused").inc()
            _log.error("new configuration refused; the old one stays", problems=list(error.problems))
            return
        logs.set_level(new.observability.log_level)
        logs.follow(new.observability.follow_game)
        count.labels("applied").inc()
        _log.info("new configuration applied", version=new.version, previous=self._settings.version)
        self._settings = new

    def _check(self, new: CollectorSettings) -> None:
        problems = []
        for name in type(new).model_fields:
            if name == "service_id" or name in CollectorSettings.RELOADABLE:
                continue
            if _fixed(new, name) != _fixed(self._settings, name):
                problems.append(f"{name}: cannot change while the collector runs; restart it")
        if problems:
            raise SettingsError(problems)


def _fixed(settings: CollectorSettings, name: str) -> object:
    """A field as far as it is decided at the start."""
    if name == "observability":
        return settings.observability.model_dump(exclude=set(CollectorSettings.RELOADABLE_OBSERVABILITY))
    return getattr(settings, name)
