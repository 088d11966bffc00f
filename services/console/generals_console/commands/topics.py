"""`generals topics`: create, list, lag."""

from typing import Annotated

import typer

from generals_console import topics as module
from generals_console.terminal import Config, Json, group, kafka_settings, out, print_json, print_table

app = group("The topics of topics.yaml on the cluster.")


@app.command(epilog="Example: generals topics create --partitions 16")
def create(
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of transitions and of experiences.", show_default="8")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Create the topics that are missing. May be repeated; existing ones are left as they are."""
    from generals_runtime.kafka import ensure_topics

    kafka = kafka_settings(config)
    specs = kafka.topics().with_partitions(partitions) if partitions else kafka.topics()
    created = ensure_topics(kafka, specs)
    if as_json:
        print_json({"created": created, "existing": [spec.name for spec in specs if spec.name not in created]})
        return
    for spec in specs:
        out.print(f"{'created ' if spec.name in created else 'existing'} {spec.name}")


@app.command("list", epilog="Example: generals topics list")
def list_topics(config: Config = None, as_json: Json = False) -> None:
    """The topics, their partitions and how many records they hold."""
    states = module.list_topics(kafka_settings(config))
    if as_json:
        print_json(module.as_json(states))
        return
    print_table(
        ("topic", "partitions", "records", "purpose"),
        [(s.name, "missing" if s.partitions is None else s.partitions, s.records, s.purpose) for s in states],
    )


@app.command(epilog="Example: generals topics lag --json")
def lag(config: Config = None, as_json: Json = False) -> None:
    """How far every consumer group is behind, by partition."""
    lags = module.group_lags(kafka_settings(config))
    if as_json:
        print_json(module.as_json(lags))
        return
    print_table(
        ("group", "topic", "partition", "committed", "end", "lag"),
        [(row.group, row.topic, row.partition, row.committed, row.end, row.lag) for row in lags],
    )
