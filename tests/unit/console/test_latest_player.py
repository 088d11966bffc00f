"""Who `latest` is: what `generals learn` left here, or the newest published policy where a broker is named."""

from pathlib import Path

import pytest

from generals_console.commands import learning
from generals_runtime.errors import OperatorError
from generals_runtime.published_policies import PolicyError


@pytest.fixture
def learnt_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder with a policy that `generals learn` left; it is no network, which tells who looked at it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENERALS_KAFKA__BOOTSTRAP_SERVERS", raising=False)
    latest = tmp_path / "runs" / "learn" / "latest.onnx"
    latest.parent.mkdir(parents=True)
    latest.write_bytes(b"no network")


@pytest.mark.usefixtures("learnt_here")
def test_without_a_broker_it_is_what_was_learnt_here() -> None:
    with pytest.raises(PolicyError, match="latest@0 cannot be loaded"):
        learning._player("latest", None)


@pytest.mark.usefixtures("learnt_here")
def test_where_a_broker_is_named_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENERALS_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(OperatorError, match=r"Kafka at 127\.0\.0\.1:1 .* did not answer"):
        learning._player("latest", None)
