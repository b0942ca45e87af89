"""Plots of scores, written whole or not at all. Drawn without a display."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import write_atomically


def bars(path: Path, title: str, groups: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> None:
    """One group of bars for each name in `groups`, one bar in it for each of `series`, in percent."""
    figure, axes = _figure(max(5.0, 0.75 * len(groups) + 2.0))
    width = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(groups))]
        axes.bar(places, [value or 0.0 for value in values], width, label=name)
    axes.set_xticks(range(len(groups)), groups, rotation=0 if max(map(len, groups)) < 8 else 30, ha="center")
    axes.set_ylim(0, 100)
    axes.set_ylabel("percent")
    figure.legend(loc="outside lower center", ncols=4, fontsize="small", frameon=False)
    _save(figure, axes, path, title)


def lines(
    path: Path,
    title: str,
    xlabel: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    ylabel: str,
    counts: Mapping[float, int] | None = None,
) -> None:
    """One line for each of `series`: its x values and its y values, in percent.

    Args:
        counts: x value to how many questions stand behind it, which is told below it.
    """
    figure, axes = _figure(6.5)
    for name, (x, y) in series.items():
        axes.plot(x, y, marker="o", label=name)
    axes.set_xscale("log", base=2)
    measured = sorted({value for x, _ in series.values() for value in x})
    if len(measured) <= 8:  # more labels would overlap
        below = {value: f"\n({count})" for value, count in (counts or {}).items()}
        axes.set_xticks(measured, [f"{value:,g}" + below.get(value, "") for value in measured])
    axes.set_ylim(0, 100)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    # As many names a row as the figure is wide for.
    columns = max(1, min(6, 80 // (6 + max(map(len, series)))))
    figure.legend(loc="outside lower center", ncols=columns, fontsize="small", frameon=False)
    _save(figure, axes, path, title)


def _figure(width: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # and not pyplot, which keeps global state and may want a display

    figure = Figure(figsize=(width, 4.2), layout="constrained")
    return figure, figure.subplots()


def save(figure: Any, path: Path, dpi: int = 130) -> None:
    """Write a figure of matplotlib's as a PNG; the same figure gives the same bytes, since no date is in the file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    write_atomically(path, buffer.getvalue())


def _save(figure: Any, axes: Any, path: Path, title: str) -> None:
    axes.set_title(title)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
