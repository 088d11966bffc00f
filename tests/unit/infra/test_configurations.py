"""The configurations that come with the system: all load, and default.yaml says what the models say."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path

import pytest
import yaml

from generals_engine.maps import rule_side
from generals_engine.settings import EngineSettings
from generals_runtime.settings import ServiceSettings, SettingsError, load
from generals_trainer.settings import TrainerSettings

CONFIG = Path(__file__).parents[3] / "config"
BYTES_A_TILE = 1.7
"""Of a row of a replay buffer; P12 of docs/results.md has 671 for 400 tiles."""
SERVICES = ("engine", "collector", "writer", "trainer")
FILES = sorted([*CONFIG.glob("*.yaml"), *(CONFIG.parent / "infra" / "k8s" / "overlays").glob("*/generals.yaml")])
# What a cluster's secrets give.
USER = {"GENERALS_KAFKA__SASL_USERNAME": "somebody", "GENERALS_KAFKA__SASL_PASSWORD": "secret"}


def settings_of(service: str) -> type[ServiceSettings]:
    model: type[ServiceSettings] = getattr(
        importlib.import_module(f"generals_{service}.settings"), f"{service.capitalize()}Settings"
    )
    return model


def test_there_are_four_configurations_and_one_for_each_overlay() -> None:
    assert [path.name for path in FILES if path.parent == CONFIG] == [
        "default.yaml", "dev.yaml", "prod.yaml", "staging.yaml",
    ]  # fmt: skip
    assert len(FILES) == 7


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_takes_it(service: str, path: Path) -> None:
    load(settings_of(service), environ=USER, config=path)


@pytest.mark.parametrize("service", SERVICES)
def test_default_yaml_is_what_a_service_has_without_any(service: str) -> None:
    model = settings_of(service)
    drawn = {"service_id", "run"}
    without = load(model, environ={}).model_dump(exclude=drawn)
    assert load(model, environ={}, config=CONFIG / "default.yaml").model_dump(exclude=drawn) == without


def test_default_yaml_names_every_setting() -> None:
    """Its comments may be a wording behind the models; no key and no default may."""
    make = runpy.run_path(str(CONFIG / "make_default.py"))
    kept = yaml.safe_load((CONFIG / "default.yaml").read_text(encoding="utf-8"))
    assert kept == yaml.safe_load(make["text"]()), "run python config/make_default.py"


@pytest.mark.parametrize("name", ["staging.yaml", "prod.yaml"])
def test_a_cluster_without_a_kafka_user_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="sasl_username, sasl_password"):
        load(settings_of("engine"), environ={}, config=CONFIG / name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_configuration_holds_a_password(path: Path) -> None:
    kafka = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("kafka", {})
    assert kafka.get("sasl_password") is None
    assert kafka.get("ssl_key_password") is None


@pytest.mark.parametrize("overlay", ["dev", "staging", "prod"])
def test_full_replay_buffers_fit_the_trainers_memory(overlay: str) -> None:
    """With a buffer for each board that the engines may draw, and room for the program itself."""
    folder = CONFIG.parent / "infra" / "k8s"
    config = folder / "overlays" / overlay / "generals.yaml"
    engine = load(EngineSettings, environ=USER, config=config)
    trainer = load(TrainerSettings, environ=USER, config=config)
    drawn = range(rule_side(engine.players, 0.0), rule_side(engine.players, 1.0) + 1)
    widths, heights = ([side] if side else drawn for side in (engine.width, engine.height))
    used = trainer.replay.capacity * sum(widths) * sum(heights) * BYTES_A_TILE
    manifest = next(iter(yaml.safe_load_all((folder / "base" / "trainer.yaml").read_text(encoding="utf-8"))))
    limit = manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert used + 1.5 * 2**30 < int(limit.removesuffix("Gi")) * 2**30
