"""The `generals` command. Commands print for people, or one JSON value with `--json`.

Exit codes: 0 done, 1 it did not work or the verdict is bad, 2 wrong usage or settings, 3 a service that stood still
ended itself, 130 stopped by Ctrl-C.
"""

import logging
import sys

import structlog
import typer

from generals_console.commands import (
    archive,
    bench,
    config,
    dead_letter,
    games,
    inspect,
    learning,
    pipeline,
    replaying,
    rules,
    topics,
)
from generals_console.entry import STOPPED_BY_CTRL_C
from generals_console.stopping import Stopped
from generals_console.terminal import err
from generals_runtime.errors import OperatorError
from generals_runtime.settings import SettingsError
from generals_schemas.errors import SchemaError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Collect experience for reinforcement learning in Generals.io, on Apache Kafka.",
    epilog="Try: generals demo --seconds 30. "
    "Exit codes: 0 done, 1 it did not work or the verdict is bad, 2 wrong usage or settings, "
    "3 a service that stood still ended itself, 130 stopped by Ctrl-C.",
)
pipeline.register(app)
games.register(app)
inspect.register(app)
bench.register(app)
learning.register(app)
replaying.register(app)
app.add_typer(topics.app, name="topics")
app.add_typer(archive.app, name="archive")
app.add_typer(dead_letter.app, name="dead-letter")
app.add_typer(rules.app, name="rules")
app.add_typer(config.app, name="config")


def main() -> None:
    """Entry point: known errors are one message, never a stack trace."""
    structlog.configure(  # standard output is for results
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        app()
    except SettingsError as error:
        for problem in error.problems:
            err.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except Stopped:
        err.print("stopped; every process has ended")
        sys.exit(STOPPED_BY_CTRL_C)
    except (OperatorError, SchemaError) as error:
        err.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(STOPPED_BY_CTRL_C)
