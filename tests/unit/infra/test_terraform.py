"""Terraform's own judgement on infra/terraform, where it is installed.

`validate` needs the AWS provider: from the network, or from the folder that TF_PLUGIN_DIR names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TERRAFORM = Path(__file__).parents[3] / "infra" / "terraform"

needs_terraform = pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "TF_DATA_DIR": str(folder / "data")}
    return subprocess.run(
        ["terraform", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def installed_plugins() -> str | None:
    """A filesystem mirror (HOST/NAMESPACE/PROVIDER/...) in one of the usual places."""
    places = (Path("/opt"), Path("/usr/local/share"), Path("/usr/share"))
    found = [path for place in places for path in place.glob("*/*/hashicorp/aws")]
    return str(found[0].parents[2]) if found else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy, so that nothing is left in the repository."""
    for path in TERRAFORM.glob("*.tf"):
        shutil.copy(path, tmp_path)
    return tmp_path


@needs_terraform
def test_the_files_are_formatted(folder: Path) -> None:
    done = terraform(folder, "fmt", "-check", "-diff")
    assert done.returncode == 0, done.stdout


@needs_terraform
def test_the_configuration_is_valid(folder: Path) -> None:
    plugins = os.environ.get("TF_PLUGIN_DIR") or installed_plugins()
    if plugins is None:
        pytest.skip("no folder with the AWS provider: name one in TF_PLUGIN_DIR")
    done = terraform(folder, "init", "-backend=false", "-input=false", f"-plugin-dir={plugins}")
    assert done.returncode == 0, done.stderr
    done = terraform(folder, "validate")
    assert done.returncode == 0, done.stdout + done.stderr
