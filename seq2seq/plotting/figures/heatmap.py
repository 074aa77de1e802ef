"""Attention as a heat map: target words down the side, source words along the top."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import asarray, float64
from numpy.typing import ArrayLike, NDArray

from seq2seq.plotting.figures.fonts import families, quiet

LONGEST = 28  # characters of a label; the rest of a longer word is cut off
LARGEST_CELL, SMALLEST_CELL = 0.5, 0.22  # inches, of a map with few and with many words
FEW = 14  # words of the longer side, up to which numbers stand in the cells
MANY_CELLS = 20_000  # from which an SVG or PDF holds them as one image, not as so many shapes
MARGIN, GAP = 0.12, 0.15  # inches, around all, and between the map and its scale


def heatmap(weights: ArrayLike, target: Sequence[str], source: Sequence[str], title: str = "") -> Figure:
    """Weights (T, S) as shades, the palest for 0 and the darkest for the largest, with the words as they are read.

    Cells are squares of a size that keeps their words legible, so that the figure grows with the sentences. Words stand
    in the order in which the model reads and writes them, the first at the left and at the top, in every script: also
    where a script is written from right to left, which each word then is in itself.
    """
    shades = asarray(weights, dtype=float64)
    if shades.shape != (len(target), len(source)):
        raise ValueError(f"weights of shape {shades.shape} for {len(target)} target and {len(source)} source words")
    longer = max(shades.shape)
    cell = min(LARGEST_CELL, max(SMALLEST_CELL, LARGEST_CELL * FEW / max(longer, 1)))
    points = min(11.0, 72 * cell * 0.66)  # of the words: two thirds of their cell
    figure = Figure(figsize=(cell * len(source), cell * len(target)))
    axes = figure.add_axes((0, 0, 1, 1))
    largest = max(float(shades.max(initial=0.0)), 1e-6)
    mesh = axes.pcolormesh(shades, cmap="Blues", vmin=0, vmax=largest, edgecolors="#e4e4e4", linewidth=0.4)
    mesh.set_rasterized(shades.size > MANY_CELLS)
    axes.invert_yaxis()
    _label(axes, [_shown(word) for word in target], [_shown(word) for word in source], points, cell)
    if longer <= FEW:
        _number(axes, shades, largest, points)
    if title:
        axes.set_title(_shown(title, 90), family=families(title), fontsize=points + 1, loc="left", parse_math=False)
    scale = figure.add_axes((1, 0, 0.1, 1))
    figure.colorbar(mesh, cax=scale)
    scale.tick_params(labelsize=max(8.0, points - 2), length=2)
    scale.set_ylabel("attention", fontsize=max(8.0, points - 1))
    _fit(figure, axes, scale, cell * len(source), cell * len(target))
    return figure


def _label(axes: Axes, target: Sequence[str], source: Sequence[str], points: float, cell: float) -> None:
    """Words at the cells; where one of the source is broader than its cell, they slant away from the map."""
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=3)
    upright = all(_breadth(word) * points / 72 < 0.95 * cell for word in source)
    axes.set_xticks(
        [place + 0.5 for place in range(len(source))], source, parse_math=False, fontsize=points,
        rotation=0 if upright else 55, ha="center" if upright else "left", rotation_mode="anchor",
    )  # fmt: skip
    axes.set_yticks([place + 0.5 for place in range(len(target))], target, parse_math=False, fontsize=points)
    fonts = families("".join([*target, *source]))
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_fontfamily(fonts)
    for side in axes.spines.values():
        side.set_color("#b0b0b0")


def _breadth(word: str) -> float:
    """About how broad a word is, in heights of its letters."""
    return sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.62 for letter in word)


def _number(axes: Axes, shades: NDArray[float64], largest: float, points: float) -> None:
    """Weights in hundredths, where there are any."""
    for row, column in zip(*(shades >= 0.005).nonzero(), strict=True):
        value = shades[row, column]
        axes.text(
            column + 0.5, row + 0.5, f"{value:.2f}".removeprefix("0"), ha="center", va="center",
            fontsize=0.72 * points, color="white" if value > 0.55 * largest else "#303030",
        )  # fmt: skip


def _fit(figure: Figure, axes: Axes, scale: Axes, width: float, height: float) -> None:
    """The figure as large as the map and all that stands around it, which is measured first."""
    with quiet():
        figure.draw_without_rendering()
        box, outer = axes.get_tightbbox(), scale.get_tightbbox()
    assert box is not None
    assert outer is not None
    inner = axes.get_window_extent()
    left, bottom = ((inner.x0 - box.x0) / figure.dpi + MARGIN, (inner.y0 - box.y0) / figure.dpi + MARGIN)
    right, top = ((box.x1 - inner.x1) / figure.dpi, (box.y1 - inner.y1) / figure.dpi + MARGIN)
    bar = min(0.16, 0.4 * width)
    ticks = (outer.x1 - scale.get_window_extent().x1) / figure.dpi + MARGIN
    whole = (left + width + max(right, GAP + bar + ticks), bottom + height + top)
    tall = min(height, 3.0)
    figure.set_size_inches(*whole)
    axes.set_position((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))
    scale.set_position(
        ((left + width + GAP) / whole[0], (bottom + height - tall) / whole[1], bar / whole[0], tall / whole[1])
    )


def _shown(word: str, longest: int = LONGEST) -> str:
    """What isn't to be seen made visible, and what is too long cut."""
    seen = "".join("\ufffd" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in word)
    seen = seen if seen.strip() else "\u2423" * max(1, len(seen))  # open boxes, for spaces alone
    return seen if len(seen) <= longest else seen[: longest - 1] + "…"
