"""`generals learn`, `evaluate`, `tournament`, `serve`: agents, from the first game to the last match."""

import itertools
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from generals_console.terminal import Config, Json, err, kafka_settings, out, print_json, print_table, status
from generals_runtime.errors import OperatorError

Games = Annotated[int, typer.Option(min=1, help="Games of each match, half of them with seats changed.")]
Size = Annotated[int | None, typer.Option(min=3, max=64, help="Side of the board.", show_default="the site's")]
TickLimit = Annotated[int, typer.Option(min=1, help="A game that lasts longer is a draw.")]
PLAYERS_HELP = (
    "random, expander, …, latest, name or name@version as published, an .onnx file, module:factory, or a URL."
)


def register(app: typer.Typer) -> None:
    """Add the commands to the top level."""
    app.command(epilog="Example: generals learn --seed 1")(learn)
    app.command(epilog="Example: generals evaluate --policy latest --opponent expander --games 400 --size 8")(evaluate)
    app.command(epilog="Example: generals tournament random expander latest --size 8")(tournament)
    app.command(epilog="Example: generals serve --policy dqn --port 8080")(serve)


def learn(
    minutes: Annotated[float, typer.Option(min=0.5, help="Minutes to learn, at most.")] = 15.0,
    updates: Annotated[int, typer.Option(min=10, help="Updates of the learner, at most.")] = 8_500,
    size: Annotated[int, typer.Option(min=5, max=32, help="Side of the board.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of games, exploration and sampling.")] = 0,
    games: Games = 400,
    run_dir: Annotated[Path | None, typer.Option(help="Where to keep it.", show_default="runs/learn/…")] = None,
    as_json: Json = False,
) -> None:
    """Let an agent learn from nothing through the whole pipeline, then let it play random and expander."""
    from generals_console.learning import LearnOptions, run_learn
    from generals_console.learning_report import write_learning_report
    from generals_console.stopping import StopFlag

    folder = run_dir or Path("runs/learn") / time.strftime("%Y%m%d-%H%M%S")
    options = LearnOptions(minutes=minutes, updates=updates, size=size, seed=seed, run_dir=folder)
    with StopFlag() as stop:
        policy = run_learn(options, stop, lambda text: err.print(text, highlight=False))
    matches = {}
    for opponent in ("random", "expander"):
        err.print(f"playing {games} games against {opponent}")
        matches[opponent] = _match(str(policy), opponent, games, size, 1000, seed, None)
    report = write_learning_report(folder, matches)
    result = {"policy": str(policy), "report": str(report), "matches": matches}
    if as_json:
        print_json(result)
        return
    print_table(
        ("opponent", "win rate", "95% from", "to", "wins", "losses", "draws"),
        [_row(name, match) for name, match in matches.items()],
    )
    out.print(f"curves: {report}")


def evaluate(
    policy: Annotated[str, typer.Option(help=PLAYERS_HELP)] = "latest",
    opponent: Annotated[str, typer.Option(help=PLAYERS_HELP)] = "random",
    games: Games = 400,
    size: Size = None,
    tick_limit: TickLimit = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of maps and moves.")] = 0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Play one policy against another, on maps that training does not see. Draws count as half."""
    with status(as_json, f"playing {games} games"):
        match = _match(policy, opponent, games, size, tick_limit, seed, config)
    if as_json:
        print_json(match)
    else:
        print_table(("opponent", "win rate", "95% from", "to", "wins", "losses", "draws"), [_row(opponent, match)])


def tournament(
    players: Annotated[list[str], typer.Argument(help=PLAYERS_HELP)],
    games: Games = 100,
    size: Size = None,
    tick_limit: TickLimit = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of maps and moves.")] = 0,
    anchor: Annotated[str, typer.Option(help="Whose Elo is 0.", show_default="the first player")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Play every pair of players and rate them: Elo with 95% intervals."""
    from generals_engine.arena import play_match
    from generals_trainer.ratings import Score, rate

    if len(set(players)) < 2:
        raise OperatorError("a tournament needs two players at least")
    if anchor and anchor not in players:
        raise typer.BadParameter(f"must be one of the players: {', '.join(players)}", param_hint="--anchor")
    found = {name: _player(name, config) for name in dict.fromkeys(players)}
    results = {}
    with status(as_json, "playing") as say:
        for first, second in itertools.combinations(found, 2):
            say(f"{first} against {second}")
            match = play_match(found[first], found[second], games=games, size=size, tick_limit=tick_limit, seed=seed)
            results[first, second] = Score(match.wins, match.losses, match.draws)
    ratings = rate(results, anchor=anchor or players[0])
    if as_json:
        print_json([{"player": r.name, "elo": r.elo, "error": r.error, "games": r.games} for r in ratings])
    else:
        rows = [(r.name, f"{r.elo:.0f}", f"± {r.error:.0f}", r.games) for r in ratings]
        print_table(("player", "Elo", "95%", "games"), rows)


def serve(
    policy: Annotated[str, typer.Option(help="The published policy that answers, always its newest version.")] = "dqn",
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 8080,
    config: Config = None,
) -> None:
    """Answer observations over HTTP with actions of the newest published policy."""
    from generals_engine.trained.serving import serve_policy

    sys.exit(serve_policy(kafka_settings(config), policy, host=host, port=port))


def _match(
    policy: str, opponent: str, games: int, size: int | None, tick_limit: int, seed: int, config: Path | None
) -> dict[str, Any]:
    from generals_engine.arena import play_match
    from generals_trainer.ratings import Score

    first, second = _player(policy, config), _player(opponent, config)
    match = play_match(first, second, games=games, size=size, tick_limit=tick_limit, seed=seed)
    score = Score(match.wins, match.losses, match.draws)
    low, high = score.interval()
    return {
        "policy": match.first,
        "opponent": match.second,
        "games": score.games,
        "wins": score.wins,
        "losses": score.losses,
        "draws": score.draws,
        "win_rate": round(score.win_rate, 4),
        "ci_low": round(low, 4),
        "ci_high": round(high, 4),
        "mean_ticks": round(match.ticks, 1),
    }


def _player(spec: str, config: Path | None) -> Any:
    """`latest` is the newest published one where a broker is named, else what `generals learn` left here."""
    from generals_console.learning import LATEST, POLICY
    from generals_engine.arena import find_player
    from generals_engine.policies import UnknownPolicy
    from generals_runtime.published_policies import read_policies

    named = config is not None or "GENERALS_KAFKA__BOOTSTRAP_SERVERS" in os.environ
    if spec == "latest" and not named and LATEST.exists():
        spec = str(LATEST)
    try:
        return find_player(POLICY if spec == "latest" else spec, lambda: read_policies(kafka_settings(config)))
    except UnknownPolicy as error:
        raise OperatorError(str(error)) from error


def _row(opponent: str, match: dict[str, Any]) -> tuple[object, ...]:
    low, high = match["ci_low"], match["ci_high"]
    return (
        opponent,
        f"{match['win_rate']:.3f}",
        f"{low:.3f}",
        f"{high:.3f}",
        match["wins"],
        match["losses"],
        match["draws"],
    )
