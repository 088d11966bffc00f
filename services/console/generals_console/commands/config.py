"""`generals config`: what the services are told, and whether they can be."""

import json
from importlib import import_module
from typing import Any

import yaml

from generals_console.settings import ConsoleSettings
from generals_console.terminal import Config, Json, group, out, print_json
from generals_runtime.settings import ServiceSettings, SettingsError, load

app = group("The configuration: one YAML and the environment.")
MODELS = {
    "engine": "generals_engine.settings:EngineSettings",
    "collector": "generals_collector.settings:CollectorSettings",
    "writer": "generals_writer.settings:WriterSettings",
    "trainer": "generals_trainer.settings:TrainerSettings",
}
SHARED = ("kafka", "observability")


@app.command(epilog="Example: generals config check --config config/prod.yaml")
def check(config: Config = None) -> None:
    """Check the settings of all services. Exit code 2 and one line for each wrong key or value."""
    _load_all(config)
    out.print(f"[green]valid[/green]: {', '.join(MODELS)}")


@app.command(epilog="Example: GENERALS_ENGINE__GAMES=8 generals config show")
def show(config: Config = None, as_json: Json = False) -> None:
    """What every service would run with, defaults included; secrets as stars."""
    settings = _load_all(config)
    shared = _plain(load(ConsoleSettings, config=config))
    whole = {name: shared[name] for name in SHARED}
    for name, model in settings.items():
        whole[name] = {key: value for key, value in _plain(model).items() if key not in (*SHARED, "service_id")}
    if as_json:
        print_json(whole)
    else:
        out.print(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), markup=False, highlight=False, end="")


def _load_all(config: Any) -> dict[str, ServiceSettings]:
    """Raises SettingsError with the problems of all services, each once."""
    loaded, problems = {}, []
    for name, where in MODELS.items():
        module, _, attribute = where.partition(":")
        try:
            loaded[name] = load(getattr(import_module(module), attribute), config=config)
        except SettingsError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise SettingsError(problems)
    return loaded


def _plain(model: ServiceSettings) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(model.model_dump_json())
    return found
