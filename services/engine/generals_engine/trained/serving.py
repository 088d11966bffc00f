"""A published policy over HTTP: an observation in, an action and its value out.

POST /act with one observation or a list of them, in the packed terms of the policy's encoding:

    {"width": 8, "height": 8, "armies": [...64...], "planes": {"own": [tiles], "enemy": [tiles], ...},
     "scalars": {"tick": 0.1}}

`planes` names the tiles on which a plane is 1; planes and scalars that are not given are empty and 0. Where a player
has team-mates, whose tiles are in `own`, too, the plane `mine` names those it may move; without it they are all its
own. The answer is

    {"policy": "dqn@12", "encoding": "nine_planes", "encoding_params": {"army_scale": 1000.0},
     "actions": [{"action": 13, "x": 3, "y": 0, "direction": 1, "split": false, "value": 0.4}]}

where a pass has no x, y, direction and split. GET /act says the same without actions: what to show, before anything is
asked. /live, /ready and /metrics are as with every service.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from generals_engine.trained.network import TrainedNetwork
from generals_engine.trained.playing import best
from generals_engine.trained.views import MINE, Views
from generals_engine.trained.watching import PolicyWatcher
from generals_runtime.health import PortTaken
from generals_runtime.settings import KafkaSettings
from generals_runtime.stop import Stop
from generals_schemas.actions import MAX_SIDE, decode

_log = structlog.get_logger("generals_engine.serving")
MOST_BYTES = 4 * 1024 * 1024
MOST_OBSERVATIONS = 256
WAIT_S = 30.0
LARGEST = float(np.finfo(np.float32).max)


class BadObservation(ValueError):
    """The request is not what was asked for; the message says where."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    kind: str = "application/json"


class PolicyServer:
    """Listens when made; `close` ends it. `current` gives the network that answers.

    Raises PortTaken where it cannot listen.
    """

    def __init__(self, current: Callable[[], TrainedNetwork | None], *, host: str, port: int) -> None:
        self._current = current
        self.registry = CollectorRegistry()
        self._answers = Counter("generals_served_requests", "Requests answered", ["status"], registry=self.registry)
        self._seconds = Histogram("generals_served_seconds", "Time to answer one request", registry=self.registry)
        handler = type("Handler", (_Handler,), {"app": self})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise PortTaken(f"cannot serve on {host}:{port}: {error.strerror}; --port names another one") from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="serving", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, path: str) -> Answer:
        if path == "/metrics":
            return Answer(200, generate_latest(self.registry), CONTENT_TYPE_LATEST)
        if path == "/live":
            return Answer(200, b"ok\n", "text/plain")
        if path == "/ready":
            ready = self._current() is not None
            return Answer(
                200 if ready else 503, b"ok\n" if ready else b"no policy has been published yet\n", "text/plain"
            )
        if path == "/act":
            network = self._current()
            return _NOTHING_YET if network is None else Answer(200, json.dumps(_about(network)).encode())
        return _error(404, "GET /act, /live, /ready, /metrics or POST /act")

    def post(self, path: str, body: bytes) -> Answer:
        begun = time.perf_counter()
        try:
            answer = self._act(body) if path == "/act" else _error(404, "POST goes to /act")
        except Exception:  # whoever asks gets an answer, and the next one, too
            _log.exception("a request could not be answered")
            answer = _error(500, "the request could not be answered; the server's log says why")
        self._answers.labels(str(answer.status)).inc()
        self._seconds.observe(time.perf_counter() - begun)
        return answer

    def _act(self, body: bytes) -> Answer:
        network = self._current()
        if network is None:
            return _NOTHING_YET
        try:
            asked = _read(body)
            observations = asked if isinstance(asked, list) else [asked]
            if not 0 < len(observations) <= MOST_OBSERVATIONS:
                raise BadObservation(f"{len(observations)} observations: 1 … {MOST_OBSERVATIONS} are answered at once")
            actions = [act(network, observation) for observation in observations]
        except BadObservation as error:
            return _error(400, str(error))
        return Answer(200, json.dumps({**_about(network), "actions": actions}, allow_nan=False).encode())


def _about(network: TrainedNetwork) -> dict[str, Any]:
    """Who answers, and what it takes."""
    return {
        "policy": f"{network.ref.name}@{network.ref.version}",
        "encoding": network.encoding.name,
        "encoding_params": network.encoding.with_params(network.encoding_params),
    }


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError as error:
        raise BadObservation("lists or objects are nested too deep") from error
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise BadObservation(f"the body is not JSON: {error}") from error


def act(network: TrainedNetwork, observation: Any) -> dict[str, Any]:
    """The best legal action of one observation.

    Raises:
        BadObservation: it is not in the form that the module's docstring shows.
    """
    if not isinstance(observation, dict):
        raise BadObservation("an observation is a JSON object")
    width, height = _side(observation, "width"), _side(observation, "height")
    views = _views(network, observation, width, height)
    values = network.values(views, width, height)
    action = int(best(values, network.legal(views, width, height))[0])
    found: dict[str, Any] = {"action": action, "value": float(values[0, action])}
    move = decode(action, width, height)
    return found if move is None else {**found, **move._asdict()}


def _views(network: TrainedNetwork, observation: Mapping[str, Any], width: int, height: int) -> Views:
    tiles = width * height
    given = _mapping(observation, "planes")
    names = (*network.encoding.planes, MINE) if MINE in given else network.encoding.planes
    planes = np.zeros((1, len(names), tiles), np.bool_)
    for name, listed in given.items():
        if name not in names:
            raise BadObservation(f"plane {name!r} is unknown; {network.encoding.name} has {', '.join(names)}")
        planes[0, names.index(name), _numbers(listed, f"planes.{name}", tiles)] = True
    scalars = np.zeros((1, len(network.encoding.scalars)), np.float32)
    for name, value in _mapping(observation, "scalars").items():
        if name not in network.encoding.scalars:
            raise BadObservation(f"scalar {name!r} is unknown; {network.encoding.name} has {network.encoding.scalars}")
        if not isinstance(value, int | float) or not abs(value) <= LARGEST:  # also of NaN that is not so
            raise BadObservation(f"scalars.{name} must be a finite number that fits a float32")
        scalars[0, network.encoding.scalars.index(name)] = value
    armies = _numbers(observation.get("armies"), "armies", 2**32)
    if len(armies) != tiles:
        raise BadObservation(f"armies has {len(armies)} numbers, a board of {width} x {height} has {tiles}")
    return Views(names, armies[None].astype(np.uint32), np.packbits(planes, axis=2, bitorder="little"), scalars)


def _side(observation: Mapping[str, Any], name: str) -> int:
    side = observation.get(name)
    if not isinstance(side, int) or not 1 <= side <= MAX_SIDE:
        raise BadObservation(f"{name} is {side!r}, must be 1 … {MAX_SIDE}")
    return side


def _mapping(observation: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = observation.get(name, {})
    if not isinstance(found, dict):
        raise BadObservation(f"{name} must be an object of names")
    return found


def _numbers(listed: Any, name: str, below: int) -> Any:
    if not isinstance(listed, list) or not all(type(n) is int and 0 <= n < below for n in listed):
        raise BadObservation(f"{name} must be a list of whole numbers, 0 … {below - 1}")
    return np.array(listed, np.int64)


def _error(status: int, message: str) -> Answer:
    return Answer(status, json.dumps({"error": message}).encode())


_NOTHING_YET = _error(503, "no policy has been published yet")


class _Handler(BaseHTTPRequestHandler):
    app: PolicyServer
    timeout = 10  # a client that says nothing holds a thread no longer

    def do_GET(self) -> None:
        self._send(self.app.get(self.path.split("?")[0]))

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "0")
        if not size.isdecimal():
            self._send(_error(400, f"Content-Length is {size!r}, must be a number of bytes"))
        elif len(size) > len(str(MOST_BYTES)) or int(size) > MOST_BYTES:
            self._send(_error(413, f"{size:.20} bytes: at most {MOST_BYTES}"))
        else:
            self._send(self.app.post(self.path.split("?")[0], self.rfile.read(int(size))))

    def _send(self, answer: Answer) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # who asked has stopped waiting
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are counted, not logged."""


def serve_policy(kafka: KafkaSettings, name: str, *, host: str, port: int) -> int:
    """Answer until SIGINT or SIGTERM. Returns the exit code."""
    stop = Stop()
    stop.on_signals()
    with closing(PolicyWatcher(kafka, name)) as watcher:
        watcher.wait(WAIT_S)
        with closing(PolicyServer(watcher.newest, host=host, port=port)) as server:
            _log.info("serving", policy=name, url=f"http://{host}:{server.port}/act")
            stop.wait()
    return 0
