"""Networks as ONNX: `planes` `[B, C, H, W]` float32 in, `values` `[B, A]` out, any batch and board size.

The graph is exported once and only its weights are replaced afterwards, a matter of milliseconds. Every model made is
run by onnxruntime and compared with the network before it is handed out.
"""

import warnings
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

INPUT, OUTPUT = "planes", "values"
OPSET = 17
TOLERANCE = 1e-4
"""Of a value, absolute and relative: sums in another order differ in float32's last digits."""


class ExportError(Exception):
    """The exported model does not give the network's values."""


class OnnxExport:
    """Exports one network of `channels` channels, as often as wanted."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._model: onnx.ModelProto | None = None

    def make(self, network: nn.Module, metadata: Mapping[str, str]) -> bytes:
        """The model with the network's present weights; `metadata` goes into its properties.

        Raises:
            ExportError: it does not give the network's values.
        """
        weights = {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
        if self._model is None:
            self._model = _export(network, self._channels)
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        _replace_weights(model, weights)
        for name, value in sorted(metadata.items()):
            model.metadata_props.add(key=name, value=value)
        made: bytes = model.SerializeToString(deterministic=True)
        self._check(network, made)
        return made

    def _check(self, network: nn.Module, model: bytes) -> None:
        session = open_session(model)
        network = deepcopy(network).cpu()  # a GPU convolves in TensorFloat32, whose last digits are not float32's
        rng = np.random.default_rng(0)
        for height, width in ((6, 5), (9, 9)):
            planes = rng.random((3, self._channels, height, width), np.float32).round()
            with torch.no_grad():
                expected = network(torch.from_numpy(planes)).numpy()
            found = run(session, planes)
            if not np.allclose(found, expected, TOLERANCE, TOLERANCE):
                worst = float(np.abs(found - expected).max())
                raise ExportError(f"on {width}x{height} the ONNX model's values are off by up to {worst:g}")


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """A session that uses one thread: many share a machine."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values `[B, A]` of planes `[B, C, H, W]`."""
    values: NDArray[np.float32] = session.run([OUTPUT], {INPUT: planes})[0]
    return values


def _export(network: nn.Module, channels: int) -> onnx.ModelProto:
    copy = deepcopy(network).cpu().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in copy.parameters():  # which the exporter would merge where they are equal, as all zeros are
            parameter.normal_(generator=generator)
    with warnings.catch_warnings(), TemporaryDirectory() as directory:
        # Deprecated, but the exporter that replaces it holds the GIL for half a minute to make the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            copy,
            (torch.zeros(2, channels, 6, 5),),
            Path(directory, "model.onnx"),
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch", 2: "height", 3: "width"}, OUTPUT: {0: "batch", 1: "actions"}},
            opset_version=OPSET,
        )
        return onnx.load(Path(directory, "model.onnx"))


def _replace_weights(model: onnx.ModelProto, weights: Mapping[str, NDArray[np.float32]]) -> None:
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    missing = sorted(set(weights) - set(stored))
    if missing:
        raise ExportError(f"the exported graph has no weights named {', '.join(missing)}")
    for name, weight in weights.items():
        stored[name].CopyFrom(numpy_helper.from_array(weight, name))
