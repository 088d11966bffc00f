"""A policy behind HTTP: what `generals serve` answers, or anything else that speaks as `trained.serving` describes.

Named by its URL. A GET says which encoding it takes and with which parameters; of a server that only answers, the
encoding stands after a `#` in the URL where it is not the nine planes. A server that is away, slow, failing or not
understood gives no answer, so its players pass; one that refuses the question (4xx) fails the games that it refuses,
and says why.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urldefrag, urlsplit

import numpy as np
import structlog
from numpy.typing import NDArray

from generals_engine.policies.protocol import NoAnswer, Observations
from generals_engine.trained.views import Viewer, Views
from generals_runtime.published_policies import PolicyError
from generals_schemas.encodings import Encoding, encoding_names, get_encoding
from generals_schemas.records import PolicyRef

_log = structlog.get_logger("generals_engine.remote")
ENCODING = "nine_planes"
OBSERVATIONS_A_REQUEST = 256
TIMEOUT_S = 10.0
"""After which a connection that says nothing is given up. The players passed long before."""
_OPENER = urllib.request.build_opener()
_INT = range(2**31)
_NO_ANSWER = (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading an answer can raise: the line is cut, it is not HTTP, not JSON, or not what was asked for."""


class RemotePolicy:
    """Asks a server for all games of a tick at once. Its name and version are what the server says they are."""

    def __init__(self, url: str) -> None:
        self._url, self._asked_for = urldefrag(url)
        self._viewer: Viewer | None = None
        self.ref = PolicyRef(urlsplit(self._url).netloc)

    def act(self, observations: Observations) -> NDArray[np.int32]:
        """`[N]` flat actions.

        Raises:
            NoAnswer: the server cannot be reached, fails, or says something else than an answer.
            PolicyError: it refuses what it is asked, or plays by an encoding that is not known here or not asked for.
        """
        viewer = self._viewer = self._viewer or self._introduced()
        asked = _as_json(viewer.view(observations), observations, viewer.encoding)
        answers: list[int] = []
        for first in range(0, len(asked), OBSERVATIONS_A_REQUEST):
            some = asked[first : first + OBSERVATIONS_A_REQUEST]
            with self._understanding():
                said = self._request(json.dumps(some).encode())
                self.ref, actions = _understood(said, len(some))
                shown = _is_shown(said, viewer)
            if not shown:
                self._viewer = None  # what was shown meant something else to the network that looked at it
                raise NoAnswer(f"{self._url} takes another encoding now")
            answers += actions
        return np.array(answers, np.int32)

    def _introduced(self) -> Viewer:
        """Views as the server says that it wants them, or as the URL says where the server says nothing."""
        said = self._said_of_itself()
        if not isinstance(said, dict) or "encoding" not in said:
            return Viewer(get_encoding(self._asked_for or ENCODING), {})
        name, params = said["encoding"], said.get("encoding_params", {})
        if self._asked_for not in ("", name):
            raise PolicyError(f"{self._url} takes {name}, not {self._asked_for}: leave out what follows #")
        if name != self._asked_for and name not in encoding_names():  # nobody's word makes us import a module
            raise PolicyError(f"{self._url} takes {name}; known are {', '.join(encoding_names())}, and what follows #")
        try:
            return Viewer(get_encoding(name), {key: float(value) for key, value in params.items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise PolicyError(f"{self._url} says its encoding's parameters are {params}: {error}") from error

    def _said_of_itself(self) -> Any:
        """What a GET answers, None if that is nothing. Raises NoAnswer if the server is away or not ready."""
        with self._understanding():
            try:
                return self._request(None)
            except urllib.error.HTTPError as error:
                if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
                error.close()
            except (ValueError, RecursionError):
                _log.debug("a policy server does not say what it takes", url=self._url)
        return None

    def _request(self, body: bytes | None) -> Any:
        """The JSON that the server says to a POST of the body, or to a GET where there is none."""
        request = urllib.request.Request(  # noqa: S310 - `find_policy` makes these of http and https only
            self._url, body, {"Content-Type": "application/json"}
        )
        with _OPENER.open(request, timeout=TIMEOUT_S) as response:
            return json.load(response)

    @contextmanager
    def _understanding(self) -> Iterator[None]:
        try:
            yield
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500:
                    reason = error.read(300).decode(errors="replace")
                    raise PolicyError(f"{self._url} answers {error.code}: {reason}") from error
            raise NoAnswer(f"{self._url} answers {error.code}") from error
        except _NO_ANSWER as error:
            raise NoAnswer(f"{self._url}: {error or type(error).__name__}") from error


def _is_shown(said: Mapping[str, Any], viewer: Viewer) -> bool:
    """Whether the network that answered takes what it was shown. What it does not say of that is as it was."""
    name, params = said.get("encoding", viewer.encoding.name), said.get("encoding_params", {})
    return bool(name == viewer.encoding.name and {**viewer.params, **params} == viewer.params)


def _understood(said: Any, count: int) -> tuple[PolicyRef, list[int]]:
    """Who has answered, and `count` actions. Raises one of _NO_ANSWER if it is something else."""
    name, _, version = said["policy"].rpartition("@")
    ref = PolicyRef(name, int(version))
    actions = [one["action"] for one in said["actions"]]
    if len(actions) != count or not all(type(number) is int and number in _INT for number in (*actions, ref.version)):
        raise ValueError(f"the answer is not a policy with a version and {count} actions")
    return ref, actions


def _as_json(views: Views, observations: Observations, encoding: Encoding) -> list[dict[str, Any]]:
    """Each observation on its own: armies as numbers, planes as the tiles on which they are 1."""
    area = observations.width * observations.height
    bits = np.unpackbits(views.bits, axis=2, count=area, bitorder="little")
    shown = [(name, bits[:, at]) for at, name in enumerate(views.planes)]
    size = {"width": observations.width, "height": observations.height}
    return [
        size | {
            "armies": views.armies[i].tolist(),
            "planes": {name: np.flatnonzero(plane[i]).tolist() for name, plane in shown},
            "scalars": dict(zip(encoding.scalars, views.scalars[i].tolist(), strict=True)),
        }
        for i in range(len(observations))
    ]  # fmt: skip
