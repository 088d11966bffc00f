"""Follows the policies topic and loads newer versions, in a thread of its own, while games are played."""

import threading
from collections.abc import Sequence

import structlog

from generals_engine.trained.network import TrainedNetwork, load_network
from generals_runtime import metrics
from generals_runtime.objects import StoreError
from generals_runtime.published_policies import PolicyError, PolicyLog, fetch_policy
from generals_runtime.settings import KafkaSettings
from generals_schemas.records import PolicyPointer, PolicyRef

_log = structlog.get_logger("generals_engine.trained")
POLL_S = 0.5


class PolicyWatcher:
    """The last `keep` versions of one policy. A version that cannot be used is reported, and the old ones play on."""

    def __init__(self, kafka: KafkaSettings, name: str, *, keep: int = 1) -> None:
        self.name = name
        self._keep = keep
        self._log = PolicyLog(kafka)
        self._networks: tuple[TrainedNetwork, ...] = ()
        self._tried = 0
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"policy-{name}", daemon=True)
        self._thread.start()

    def newest(self) -> TrainedNetwork | None:
        """The newest version that could be loaded."""
        networks = self._networks
        return networks[-1] if networks else None

    def versions(self) -> Sequence[TrainedNetwork]:
        """The last versions, oldest first."""
        return self._networks

    def wait(self, timeout_s: float) -> bool:
        """Until what was published before the start has been looked at."""
        return self._ready.wait(timeout_s)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        waiting: list[PolicyPointer] = []
        try:
            while not self._closing.is_set():
                waiting += [pointer for pointer in self._log.poll(POLL_S) if pointer.name == self.name]
                if self._ready.is_set() or self._log.at_end:
                    # Of what has come at once only the last ones are worth fetching.
                    for pointer in _distinct(waiting)[-self._keep :]:
                        self._take(pointer)
                    waiting = []
                    self._ready.set()
        except Exception:
            _log.exception("policies are no longer followed; the loaded ones play on", policy=self.name)
        finally:
            self._log.close()

    def _take(self, pointer: PolicyPointer) -> None:
        if pointer.version <= self._tried:
            return
        self._tried = pointer.version
        try:
            network = load_network(fetch_policy(pointer), PolicyRef(pointer.name, pointer.version))
        except (PolicyError, StoreError) as error:
            metrics.default().engine.policy_reload_failures.labels(metrics.policy_label(self.name)).inc()
            _log.error("a published policy is refused", policy=self.name, version=pointer.version, reason=str(error))
            return
        self._networks = (*self._networks, network)[-self._keep :]
        metrics.default().engine.policy_version.labels(metrics.policy_label(self.name)).set(pointer.version)
        _log.info("policy loaded", policy=self.name, version=pointer.version)


def _distinct(pointers: list[PolicyPointer]) -> list[PolicyPointer]:
    """Each version once (it stands under two keys), ascending."""
    found = {pointer.version: pointer for pointer in pointers}
    return [found[version] for version in sorted(found)]
