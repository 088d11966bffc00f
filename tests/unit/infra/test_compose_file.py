"""docker-compose.yml, read without Docker: what would listen, who would be root, what could not be scaled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = ("engine", "collector", "writer", "trainer")

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


@each_service
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@each_service
def test_a_service_has_no_capabilities_and_cannot_gain_any(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[name].get("read_only") or name == "kafka"
    assert not SERVICES[name].get("privileged")


@each_service
def test_a_service_can_be_scaled_or_publishes_a_port_of_the_host(name: str) -> None:
    assert "container_name" not in SERVICES[name]
    if name in OURS:
        assert "ports" not in SERVICES[name]


@pytest.mark.parametrize("name", [*OURS, "kafka", "s3", "prometheus"])
def test_what_runs_for_weeks_is_restarted_checked_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"]["max-size"]


def test_torch_is_in_the_image_of_the_trainer_only() -> None:
    stages = (ROOT / "infra" / "docker" / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")
    with_torch = {stage.split("\n")[0] for stage in stages if "-r /requirements/trainer.txt" in stage}
    assert with_torch == {"core AS trainer-base"}


def test_images_name_no_package_index_and_no_syntax_to_be_pulled() -> None:
    for path in (ROOT / "infra" / "docker").iterdir():
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        assert "index-url" not in text
        assert "# syntax=" not in text
