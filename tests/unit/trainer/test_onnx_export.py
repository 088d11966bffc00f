"""The exported model gives the network's values, for any board."""

import onnx
import pytest
import torch

from generals_schemas.encodings import encoding_names, get_encoding
from generals_trainer import onnx_export
from generals_trainer.network import QNetwork
from generals_trainer.onnx_export import ExportError, OnnxExport


@pytest.mark.parametrize("name", encoding_names())
def test_values_agree_on_boards_of_any_size_and_after_the_weights_changed(name: str) -> None:
    encoding = get_encoding(name)
    network = QNetwork(encoding)
    export = OnnxExport(len(encoding.channels))
    export.make(network, {})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    model = export.make(network, {"encoding": name})
    session = onnx_export.open_session(model)
    for height, width, batch in ((8, 8, 1), (18, 23, 4), (3, 5, 7)):
        planes = torch.rand((batch, len(encoding.channels), height, width)).round()
        expected = network(planes).detach().numpy()
        found = onnx_export.run(session, planes.numpy())
        assert found.shape == (batch, 8 * height * width + 1)
        assert abs(found - expected).max() < 1e-4 * max(1.0, abs(expected).max())
    stored = {prop.key: prop.value for prop in onnx.load_from_string(model).metadata_props}
    assert stored == {"encoding": name}


def test_the_same_weights_make_the_same_bytes() -> None:
    network = QNetwork(get_encoding("nine_planes"))
    export = OnnxExport(9)
    assert export.make(network, {"a": "1", "b": "2"}) == export.make(network, {"b": "2", "a": "1"})


def test_a_model_that_is_off_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    network = QNetwork(get_encoding("nine_planes"))
    export = OnnxExport(9)
    export.make(network, {})
    monkeypatch.setattr(onnx_export, "_replace_weights", lambda model, weights: None)
    with torch.no_grad():
        network.stem.weight.mul_(1.5)
    with pytest.raises(ExportError, match="values are off by"):
        export.make(network, {})
