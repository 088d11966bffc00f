"""`generals archive` and `audit` give no verdict on an archive that is not there, and refuse what they cannot do."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from generals_console.main import app
from generals_console.terminal import archive_store
from generals_runtime.errors import OperatorError
from generals_runtime.objects import open_store
from generals_writer.layout import LogPartition, beginning_key

TOPIC = "generals.experiences"


@pytest.mark.parametrize("command", ["ls", "verify", "compact", "read", "export --to copy", "prune --days 1"])
def test_an_archive_that_is_not_there_is_an_error_that_names_it(command: str, tmp_path: Path) -> None:
    name, *options = command.split()
    done = CliRunner().invoke(app, ["archive", name, str(tmp_path / "archvie"), *options])
    assert done.exit_code == 1
    assert isinstance(done.exception, OperatorError)
    assert str(done.exception) == f"{tmp_path / 'archvie'} is no archive: it has no claims"


def test_an_archive_that_a_writer_has_begun_is_there_though_it_holds_nothing_yet(tmp_path: Path) -> None:
    open_store(tmp_path).put(beginning_key(LogPartition(TOPIC, 0)), b"{}")
    assert archive_store(str(tmp_path), TOPIC).url == str(tmp_path)
    assert archive_store(str(tmp_path), None).url == str(tmp_path)
    with pytest.raises(OperatorError, match=r"is no archive of other\.experiences: it has no claims"):
        archive_store(str(tmp_path), "other.experiences")
