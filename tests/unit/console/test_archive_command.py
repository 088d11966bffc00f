"""`generals archive` and `audit` give no verdict on an archive that is not there, and refuse what they cannot do."""

import json
from pathlib import Path

import pytest
from numpy.random import default_rng
from simulated_archive import LOG, life, made_up_log, run
from typer.testing import CliRunner

from generals_console.main import app
from generals_console.terminal import archive_store
from generals_runtime.errors import OperatorError
from generals_runtime.objects import open_store
from generals_writer.index import INDEX, read_index
from generals_writer.layout import beginning_key


@pytest.mark.parametrize("command", ["ls", "verify", "index", "compact", "read", "export --to copy", "prune --days 1"])
def test_an_archive_that_is_not_there_is_an_error_that_names_it(command: str, tmp_path: Path) -> None:
    name, *options = command.split()
    done = CliRunner().invoke(app, ["archive", name, str(tmp_path / "archvie"), *options])
    assert done.exit_code == 1
    assert isinstance(done.exception, OperatorError)
    assert str(done.exception) == f"{tmp_path / 'archvie'} is no archive: it has no claims"


def test_an_archive_that_a_writer_has_begun_is_there_though_it_holds_nothing_yet(tmp_path: Path) -> None:
    open_store(tmp_path).put(beginning_key(LOG), b"{}")
    assert archive_store(str(tmp_path), LOG.topic).url == str(tmp_path)
    assert archive_store(str(tmp_path), None).url == str(tmp_path)
    with pytest.raises(OperatorError, match=r"is no archive of other\.experiences: it has no claims"):
        archive_store(str(tmp_path), "other.experiences")


def test_indices_are_made_anew_from_claims_and_seals(seed: int, tmp_path: Path) -> None:
    store, rng = open_store(tmp_path), default_rng(seed)
    log, expected = made_up_log(rng, chunks=6)
    run(life(store, log, rng, "w"))
    done = CliRunner().invoke(app, ["archive", "index", str(tmp_path), "--json"])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["indices"] == len(found["written"]) > 0
    assert found["written"] == sorted(info.key for info in store.list() if info.key.endswith(INDEX))
    entries = [entry for key in found["written"] for entry in read_index(store, key.removesuffix(INDEX)).values()]
    assert sum(entry["rows"] for entry in entries) == sum(batch.steps for batch in expected)
    plain = CliRunner().invoke(app, ["archive", "index", str(tmp_path)])
    assert (plain.exit_code, plain.stdout.split()) == (0, ["indices", str(found["indices"])])
