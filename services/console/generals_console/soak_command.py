"""What `generals soak` prints around a run, and its picture."""

from generals_console.soak import SoakOptions, SoakResult, run_soak
from generals_console.soak_picture import draw_soak
from generals_console.stopping import StopFlag
from generals_console.terminal import err, out, print_json, print_table


def run(options: SoakOptions, *, as_json: bool = False) -> int:
    """Soak and print the slopes; 0 if everything is known to be flat, else 1.

    Raises:
        Stopped: by Ctrl-C.
    """
    console = err if as_json else out
    with StopFlag() as stop:
        result = run_soak(options, stop, lambda what: console.print(what, markup=False, highlight=False))
    picture = options.run_dir / "soak.png"
    draw_soak(result, picture)
    if as_json:
        print_json(result.to_json(), indent=None)
    else:
        _show(result)
        console.print(f"{result.ticks:,} ticks in {result.minutes:g} minutes, {result.games_running} games at a time")
    console.print(f"picture: {picture}", markup=False, highlight=False, soft_wrap=True)
    return 0 if result.passed else 1


def _show(result: SoakResult) -> None:
    rows = [
        (
            name,
            result.series[name].unit,
            f"{found.mean:,.1f}",
            f"{found.slope_per_hour:+,.2f}",
            f"± {found.noise_per_hour:,.2f}",
            result.verdict(name),
        )
        for name, found in result.trends.items()
    ]
    rows += [(n, one.unit, "", "", "", result.verdict(n)) for n, one in result.series.items() if n not in result.trends]
    print_table(("series", "unit", "mean", "slope an hour", "95 %", "verdict"), rows)
