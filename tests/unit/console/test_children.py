"""What services that a demo or a chaos run starts are told: what was written for them, and nothing of the shell's."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from generals_console.demo import DemoOptions, _configuration, _secrets
from generals_console.processes import Children
from generals_console.settings import ConsoleSettings
from generals_runtime.settings import KafkaSettings, load

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
HIDDEN = "hunter2"


def test_settings_of_the_shell_do_not_reach_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENERALS_KAFKA__BOOTSTRAP_SERVERS", "production:9092")
    monkeypatch.setenv("GENERALS_WRITER__DESTINATIONS", '[{"name": "local", "url": "s3://production/archive"}]')
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    with Children(tmp_path, {"GENERALS_CONFIG": "ours.yaml"}) as children:
        child = children.launch("probe", [sys.executable, "-c", SHOW], {"GENERALS_SERVICE_ID": "probe-0"})
        child.process.wait(30)
        seen = json.loads(child.log.read_text())
    settings = {name: value for name, value in seen.items() if name.startswith("GENERALS_")}
    assert settings == {"GENERALS_CONFIG": "ours.yaml", "GENERALS_SERVICE_ID": "probe-0"}
    assert seen["AWS_REGION"] == "eu-north-1"


def test_a_demo_on_a_guarded_cluster_hands_passwords_on_and_writes_none_down(tmp_path: Path) -> None:
    kafka = KafkaSettings.model_validate(
        {
            "bootstrap_servers": "guarded:9093",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "me",
            "sasl_password": HIDDEN,
            "ssl_ca_location": str(tmp_path / "ca.pem"),
        }
    )
    written = yaml.safe_dump(_configuration(DemoOptions(), tmp_path, kafka, tmp_path / "archive"))
    assert HIDDEN not in written
    config = tmp_path / "demo.yaml"
    config.write_text(written)
    assert load(ConsoleSettings, environ=_secrets(kafka), config=config).kafka == kafka
