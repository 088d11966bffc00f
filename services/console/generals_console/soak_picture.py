"""The picture of a soak: what was held, over time."""

import math
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from generals_console.soak import SoakResult, kind_of
from generals_console.trend import WARM_UP

COLUMNS = 2


def draw_soak(result: SoakResult, path: Path) -> None:
    """A panel for memory, open files, lag and disk each; shaded is the warm-up, which has no part in the slopes."""
    kinds = list(dict.fromkeys(kind_of(name) for name in result.series))
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        rows = math.ceil(len(kinds) / COLUMNS)
        figure = Figure(figsize=(12, 3.4 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False).flat
        for kind, axes in zip(kinds, panels, strict=False):
            _draw_kind(axes, kind, result)
        for axes in list(panels):
            axes.set_axis_off()
        figure.savefig(path, dpi=110)


def _draw_kind(axes: Axes, kind: str, result: SoakResult) -> None:
    named = {name: one for name, one in result.series.items() if kind_of(name) == kind}
    for name, series in named.items():
        found = result.trends.get(name)
        slope = f": {found.slope_per_hour:+,.1f} ± {found.noise_per_hour:,.1f} an hour" if found else ""
        label = name.partition(" of ")[2].removeprefix("the ") + slope
        axes.plot([at_s / 60 for at_s in series.at_s], series.values, linewidth=1.0, label=label)
    unit = next(iter(named.values())).unit
    axes.axvspan(0, result.minutes * WARM_UP, color="#f3f4f6", zorder=0)
    axes.set(title=f"{kind}, {unit}" if unit else kind, xlabel="minutes", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
