"""Curves and bars as SVG, drawn with the page's colours: they follow it into the dark and onto paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from seq2seq.report.markup import Markup, element

WIDTH, HEIGHT = 350, 205
LEFT, RIGHT, TOP, BOTTOM = 44, 66, 12, 28
ALONE = 12  # the right margin of a curve that needs no name
MOST_POINTS = 400  # of a curve; more are averaged, for the eye sees no more
FEW_POINTS = 40  # that are shown as points, too
LINE = 14  # height of a line of text

Point = tuple[float, float]


class Curve(NamedTuple):
    """One line of a chart; `kind` chooses its colour, and `marked` is a point to name: the best."""

    label: str
    kind: str
    points: list[Point]
    marked: Point | None = None


class Axis(NamedTuple):
    """A range of numbers and where they stand on the page; logarithmic where that was asked for and can be."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high, value = (
            (math.log(number) for number in (self.low, self.high, value))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, logarithmic: bool = False) -> Axis:
        """From the smallest to the largest of the values, with a little room."""
        low, high = min(values), max(values)
        if logarithmic and low > 0:
            room = (high / low) ** 0.04 if high > low else 1.1
            return cls(low / room, high * room, start, end, True)
        room = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
        return cls(0.0 if 0 <= low <= room else low - room, high + room, start, end)

    def ticks(self) -> list[float]:
        """Round numbers along it, three to seven of them."""
        if self.logarithmic and self.high / self.low > 5:
            return _thinned([tick for tick in _decades(self.low, self.high) if self.low <= tick <= self.high])
        step = _step((self.high - self.low) / 4)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def chart(title: str, note: str, curves: Sequence[Curve], logarithmic: bool = False) -> Markup:
    """A figure of curves over updates; each is named at its end, if it isn't the only one."""
    drawn = [curve._replace(points=thinned(curve.points)) for curve in curves]
    named = len(drawn) > 1 or any(curve.marked for curve in drawn)
    end = WIDTH - (RIGHT if named else ALONE)
    across = Axis.over([x for c in drawn for x, _ in c.points], LEFT, end)
    values = [y for c in drawn for _, y in c.points] + [c.marked[1] for c in drawn if c.marked]
    up = Axis.over(values, HEIGHT - BOTTOM, TOP, logarithmic)
    parts = [*_grid(across, up), *(_curve(curve, across, up) for curve in drawn)]
    parts += _names(drawn, up) if named else []
    svg = element(
        "svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": _spoken(title, curves)}, *parts
    )
    words = element("span", {"class": "note"}, note) if note else None
    return element("figure", {"class": "chart"}, element("figcaption", None, element("b", None, title), words), svg)


def bars(rows: Sequence[tuple[object, ...]], values: Sequence[float | None], top: float) -> list[list[object]]:
    """Rows of a table, each with its value and a bar of that share of `top` behind it."""
    lines = []
    for row, value in zip(rows, values, strict=True):
        if value is None:
            lines.append([*row, "–", ""])
            continue
        width = f"{100 * value / top:.1f}"
        rect = element("rect", {"width": width, "height": 10, "rx": 1.5})
        svg = element("svg", {"class": "bar", "viewBox": "0 0 100 10", "preserveAspectRatio": "none"}, rect)
        lines.append([*row, f"{value:.1f}", svg])
    return lines


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most MOST_POINTS: each the mean of as many neighbours as it takes."""
    size = math.ceil(len(points) / MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def number(value: float) -> str:
    """Three digits or so: 41.2, 0.53, 8,300, 2e-4."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 0.01:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.3g}"


def _grid(across: Axis, up: Axis) -> list[Markup]:
    parts = []
    for tick in up.ticks():
        y = round(up.place(tick), 1)
        parts.append(element("line", {"class": "grid", "x1": LEFT, "x2": across.end, "y1": y, "y2": y}))
        parts.append(element("text", {"class": "tick", "x": LEFT - 8, "y": y + 4, "text-anchor": "end"}, number(tick)))
    for tick in across.ticks():
        place = {"class": "tick", "x": round(across.place(tick), 1), "y": HEIGHT - BOTTOM + 20}
        parts.append(element("text", {**place, "text-anchor": "middle"}, number(tick)))
    return parts


def _curve(curve: Curve, across: Axis, up: Axis) -> Markup:
    places = [(round(across.place(x), 1), round(up.place(y), 1)) for x, y in curve.points]
    parts = [element("path", {"class": "curve", "d": "M" + "L".join(f"{x} {y}" for x, y in places)})]
    if len(places) <= FEW_POINTS:
        parts += [element("circle", {"cx": x, "cy": y, "r": 2.2}) for x, y in places]
    if curve.marked is not None:
        x, y = (round(axis.place(value), 1) for axis, value in zip((across, up), curve.marked, strict=True))
        parts.append(element("circle", {"class": "best", "cx": x, "cy": y, "r": 4.5}))
    return element("g", {"class": curve.kind}, *parts)


def _names(curves: Sequence[Curve], up: Axis) -> list[Markup]:
    """Beside the curves' ends, and below each other where these meet; with the best value under the name."""
    lines = sorted((up.place(curve.points[-1][1]), curve) for curve in curves)
    parts, free = [], float(TOP)
    for end, curve in lines:
        texts = [curve.label] + ([f"best {number(curve.marked[1])}"] if curve.marked else [])
        room = HEIGHT - BOTTOM - LINE * (len(texts) - 1)
        y = max(min(end + 4, room), free)
        for text in texts:
            place = {"class": f"name {curve.kind}", "x": WIDTH - RIGHT + 7, "y": round(y, 1)}
            parts.append(element("text", place, text))
            y += LINE
        free = y + 2
    return parts


def _spoken(title: str, curves: Sequence[Curve]) -> str:
    """The chart in words, for those who hear the page."""
    ends = (f"{c.label}: {number(c.points[0][1])} to {number(c.points[-1][1])}" for c in curves)
    return f"{title} by updates; {'; '.join(ends)}"


def _step(least: float) -> float:
    """The first of 1, 2, 5, 10, 20, ... times a power of ten that is `least` or more."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _decades(low: float, high: float) -> list[float]:
    return [
        factor * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factor in (1, 2, 5)
    ]


def _thinned(ticks: list[float]) -> list[float]:
    """Of many round numbers the powers of ten alone, or some of these."""
    if len(ticks) > 7:
        ticks = [tick for tick in ticks if round(math.log10(tick), 9).is_integer()]
    return ticks[:: math.ceil(len(ticks) / 7)]
