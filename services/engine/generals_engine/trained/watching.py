"""Follows the policies topic and loads newer versions, in a thread of its own, while games are played.

Whatever goes wrong meanwhile, games are played by what is loaded, and it is tried again.
"""

import threading
from collections.abc import Sequence

import structlog

from generals_engine.trained.network import TrainedNetwork, load_network
from generals_runtime import metrics
from generals_runtime.objects import StoreError, StoreUnavailable
from generals_runtime.published_policies import PolicyError, PolicyLog, fetch_policy
from generals_runtime.settings import KafkaSettings
from generals_schemas.records import PolicyPointer, PolicyRef

_log = structlog.get_logger("generals_engine.trained")
POLL_S = 0.5
AGAIN_AFTER_S = 5.0


class PolicyWatcher:
    """The last `keep` versions of one policy. A version that cannot be used is reported, and the old ones play on."""

    def __init__(self, kafka: KafkaSettings, name: str, *, keep: int = 1) -> None:
        self.name = name
        self._kafka = kafka
        self._keep = keep
        self._networks: tuple[TrainedNetwork, ...] = ()
        self._tried = 0
        self._closing = threading.Event()
        self._ready = threading.Event()
        # Opened here: a topic that is missing from the start is the caller's to know.
        self._thread = threading.Thread(target=self._run, args=(PolicyLog(kafka),), name=f"policy-{name}", daemon=True)
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

    def _run(self, opened: PolicyLog | None) -> None:
        while not self._closing.is_set():
            try:
                self._follow(opened or PolicyLog(self._kafka))
            except Exception:
                self._count_failure()
                _log.exception("policies cannot be followed for now; the loaded ones play on", policy=self.name)
                self._closing.wait(AGAIN_AFTER_S)
            opened = None

    def _follow(self, log: PolicyLog) -> None:
        waiting: list[PolicyPointer] = []
        try:
            while not self._closing.is_set():
                waiting += [pointer for pointer in log.poll(POLL_S) if pointer.name == self.name]
                if self._ready.is_set() or log.at_end:
                    # Of what has come at once only the last ones are worth fetching.
                    waiting = [pointer for pointer in _distinct(waiting)[-self._keep :] if not self._take(pointer)]
                    self._ready.set()
                if waiting and self._ready.is_set():
                    self._closing.wait(AGAIN_AFTER_S)
        finally:
            log.close()

    def _take(self, pointer: PolicyPointer) -> bool:
        """Whether it is settled: loaded, refused, or older than what was. If not, it is worth another try."""
        if pointer.version <= self._tried:
            return True
        try:
            network = load_network(fetch_policy(pointer), PolicyRef(pointer.name, pointer.version))
        except StoreUnavailable as error:
            self._count_failure()
            _log.warning("a policy cannot be fetched yet", policy=self.name, version=pointer.version, reason=str(error))
            return False
        except (PolicyError, StoreError) as error:
            self._count_failure()
            _log.error("a published policy is refused", policy=self.name, version=pointer.version, reason=str(error))
        else:
            self._networks = (*self._networks, network)[-self._keep :]
            metrics.default().engine.policy_version.labels(metrics.policy_label(self.name)).set(pointer.version)
            _log.info("policy loaded", policy=self.name, version=pointer.version)
        self._tried = pointer.version
        return True

    def _count_failure(self) -> None:
        metrics.default().engine.policy_reload_failures.labels(metrics.policy_label(self.name)).inc()


def _distinct(pointers: list[PolicyPointer]) -> list[PolicyPointer]:
    """Each version once (it stands under two keys), ascending."""
    found = {pointer.version: pointer for pointer in pointers}
    return [found[version] for version in sorted(found)]
