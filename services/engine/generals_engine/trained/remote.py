"""A policy behind HTTP: what `generals serve` answers, or anything else that speaks as `trained.serving` describes.

Named by its URL; the encoding it wants stands after a `#` where it is not the nine planes. A server that is away, slow,
failing or not understood gives no answer, so its players pass; one that refuses the question (4xx) fails the games, and
says why.
"""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urldefrag, urlsplit

import numpy as np
from numpy.typing import NDArray

from generals_engine.policies.protocol import NoAnswer, Observations
from generals_engine.trained.views import Viewer, Views
from generals_runtime.published_policies import PolicyError
from generals_schemas.encodings import Encoding, get_encoding
from generals_schemas.records import PolicyRef

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
        self._url, encoding = urldefrag(url)
        self._viewer = Viewer(get_encoding(encoding or ENCODING), {})
        self.ref = PolicyRef(urlsplit(self._url).netloc)

    def act(self, observations: Observations) -> NDArray[np.int32]:
        """`[N]` flat actions.

        Raises:
            NoAnswer: the server cannot be reached, fails, or says something else than an answer.
            PolicyError: it refuses what it is asked.
        """
        asked = _as_json(self._viewer.view(observations), observations, self._viewer.encoding)
        answers: list[int] = []
        for first in range(0, len(asked), OBSERVATIONS_A_REQUEST):
            answers += self._post(asked[first : first + OBSERVATIONS_A_REQUEST])
        return np.array(answers, np.int32)

    def _post(self, asked: list[dict[str, Any]]) -> list[int]:
        request = urllib.request.Request(  # noqa: S310 - `find_policy` makes these of http and https only
            self._url, json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        try:
            with _OPENER.open(request, timeout=TIMEOUT_S) as response:
                self.ref, actions = _understood(json.load(response), len(asked))
        except urllib.error.HTTPError as error:
            with error:
                if error.code < 500:
                    reason = error.read(300).decode(errors="replace")
                    raise PolicyError(f"{self._url} answers {error.code}: {reason}") from error
            raise NoAnswer(f"{self._url} answers {error.code}") from error
        except _NO_ANSWER as error:
            raise NoAnswer(f"{self._url}: {error or type(error).__name__}") from error
        return actions


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
