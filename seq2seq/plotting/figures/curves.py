"""How trainings went: a panel for each measure, a colour for each run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seq2seq.plotting.figures.fonts import families

WIDTH, HEIGHT = 5.5, 3.0  # inches, of a panel
FACTOR = 30
LONGEST = 90  # characters of a run's name


class Points(NamedTuple):
    """A measure where it was taken; NaN where it was none."""

    x: list[float]
    y: list[float]


class Course(NamedTuple):
    """A run: points by measure, of its training and of its validations; the x of the best validation, if there is one.

    loss is the negative log-likelihood a target token, of both.
    """

    name: str
    train: Mapping[str, Points]
    valid: Mapping[str, Points]
    best: float | None


class Panel(NamedTuple):
    measure: str
    title: str
    logarithmic: bool = False  # where the largest number is more than FACTOR times the smallest


PANELS = (
    Panel("loss", "loss (negative log-likelihood a target token)"),
    Panel("bleu", "BLEU"),
    Panel("learning_rate", "learning rate"),
    Panel("gradient_norm", "gradient norm, before clipping", logarithmic=True),
    Panel("tokens_per_second", "target tokens a second"),
    Panel("attention_entropy", "entropy of attention (nats)"),
)


def curves(courses: Sequence[Course], x_title: str, best_by: str) -> Figure:
    """All runs in the same axes: training as lines, validations as points, the best one as a star.

    A panel is there where a run has numbers for it.
    """
    panels = [panel for panel in PANELS if any(_values(course, panel.measure) for course in courses)]
    rows = math.ceil(len(panels) / 2)
    columns = min(2, len(panels))
    figure = Figure(figsize=(columns * WIDTH, rows * HEIGHT + 0.6), layout="constrained")
    places = list(figure.subplots(rows, columns, squeeze=False, sharex=True).flat)
    colours = _colours(len(courses))
    for panel, axes in zip(panels, places, strict=False):
        _frame(axes, panel.title, x_title)
        for course, colour in zip(courses, colours, strict=True):
            _draw(axes, panel, course, colour, alone=len(courses) == 1)
        if panel.logarithmic and _factor(courses, panel.measure) > FACTOR:
            axes.set_yscale("log")
    for axes in places[len(panels) :]:
        axes.remove()
    _legend(figure, courses, colours, best_by)
    return figure


def _values(course: Course, measure: str) -> list[float]:
    """All finite numbers of a measure."""
    found = [side[measure].y for side in (course.train, course.valid) if measure in side]
    return [value for values in found for value in values if math.isfinite(value)]


def _factor(courses: Sequence[Course], measure: str) -> float:
    """How many times the smallest number above zero the largest is."""
    values = [value for course in courses for value in _values(course, measure) if value > 0]
    return max(values) / min(values) if values else 1.0


def _colours(count: int) -> list[str]:
    """Ten that are easily told apart, or as many as needed on the way from violet to yellow."""
    if count <= 10:
        return [to_hex(matplotlib.colormaps["tab10"](i)) for i in range(count)]
    return [to_hex(matplotlib.colormaps["viridis"](i / (count - 1))) for i in range(count)]


def _frame(axes: Axes, title: str, x_title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x_title, fontsize=9)
    axes.tick_params(labelsize=8, labelbottom=True)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw(axes: Axes, panel: Panel, course: Course, colour: str, alone: bool) -> None:
    train, valid = course.train.get(panel.measure), course.valid.get(panel.measure)
    if train is not None:
        axes.plot(train.x, train.y, color=colour, linewidth=1.0, alpha=0.75)
    if valid is None:
        return
    red, green, blue = to_rgb(colour)
    darker = colour if train is None else to_hex((0.65 * red, 0.65 * green, 0.65 * blue))
    axes.plot(valid.x, valid.y, color=darker, linewidth=1.0, marker="o", markersize=3.5, zorder=3)
    best = [(x, y) for x, y in zip(valid.x, valid.y, strict=True) if x == course.best and math.isfinite(y)]
    for x, y in best:
        axes.plot([x], [y], color=darker, marker="*", markersize=13, markeredgecolor="white", zorder=4)
        if alone:
            axes.annotate(
                f"{y:.4g}", (x, y), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=8, color=darker
            )
    if best:
        axes.margins(y=0.12)  # so that neither star nor number leaves the panel


def _legend(figure: Figure, courses: Sequence[Course], colours: Sequence[str], best_by: str) -> None:
    """The runs, where there are several, and what lines, points and stars are."""
    colour = colours[0] if len(courses) == 1 else "#606060"
    entries: list[tuple[Artist, str]] = [
        (Line2D([], [], color=colour, linewidth=1.2), "training"),
        (Line2D([], [], color=colour, linewidth=1.0, marker="o", markersize=4), "validation"),
    ]
    if any(course.best is not None for course in courses):
        entries.append((Line2D([], [], color=colour, linestyle="", marker="*", markersize=11), f"best {best_by}"))
    if len(courses) > 1:
        entries += [
            (Line2D([], [], color=shade, linewidth=4), course.name[:LONGEST])
            for course, shade in zip(courses, colours, strict=True)
        ]
    columns = 1 if max(len(name) for _, name in entries) > 45 else 3
    legend = figure.legend(
        [handle for handle, _ in entries], [name for _, name in entries],
        loc="outside upper left", ncols=columns, frameon=False,
        prop={"family": families("".join(name for _, name in entries)), "size": 9},
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
