"""One version of a trained policy: an ONNX model and what it says about its input."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from generals_client.expand import expand
from generals_engine.trained.views import Views
from generals_runtime.published_policies import PolicyError
from generals_schemas.encodings import Encoding, get_encoding
from generals_schemas.records import PolicyRef

INPUT, OUTPUT = "planes", "values"


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """`planes` `[N, C, H, W]` in, `values` `[N, A]` out."""

    ref: PolicyRef
    encoding: Encoding
    encoding_params: dict[str, float]
    split_moves: bool
    trainer_steps: int
    session: Any

    def values(self, views: Views, width: int, height: int) -> NDArray[np.float32]:
        """`[N, A]`, of legal actions and others."""
        planes = expand(
            self.encoding,
            armies=views.armies,
            bits=views.bits,
            scalars=views.scalars,
            rows=np.arange(len(views.armies)),
            width=width,
            height=height,
            params=self.encoding_params,
            planes=views.planes,
        )
        found: NDArray[np.float32] = self.session.run([OUTPUT], {INPUT: planes.astype(np.float32, copy=False)})[0]
        return found

    def legal(self, views: Views, width: int, height: int) -> NDArray[np.bool_]:
        """`[N, A]`: what it may choose from. Without splits, if it was trained without."""
        mask = views.legal(width, height)
        if not self.split_moves:
            half = 4 * width * height
            mask[:, half : 2 * half] = False
        return mask


def load_network(artefact: bytes, ref: PolicyRef) -> TrainedNetwork:
    """A network from its ONNX file, whose properties name the encoding it was trained on.

    Raises:
        PolicyError: it is no such file.
    """
    options = onnxruntime.SessionOptions()
    # One thread: an engine has many games and a machine has many engines.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])
        said = session.get_modelmeta().custom_metadata_map
        encoding = get_encoding(said["encoding"])
        params = {str(name): float(value) for name, value in json.loads(said.get("encoding_params", "{}")).items()}
        channels = session.get_inputs()[0].shape[1]
    except Exception as error:  # onnxruntime has no error class of its own that is public
        raise PolicyError(f"policy {ref.name}@{ref.version} cannot be loaded: {error}") from error
    if channels != len(encoding.channels):
        raise PolicyError(
            f"policy {ref.name}@{ref.version} takes {channels} channels, its encoding {encoding.name} has "
            f"{len(encoding.channels)}"
        )
    return TrainedNetwork(
        ref=ref,
        encoding=encoding,
        encoding_params=params,
        split_moves=said.get("split_moves", "true") == "true",
        trainer_steps=int(said.get("trainer_steps", "0")),
        session=session,
    )
