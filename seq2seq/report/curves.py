"""A training's curves, out of metrics.jsonl: one chart for each thing that it measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from seq2seq.report.charts import Curve, Point, chart
from seq2seq.report.markup import Markup, element, join

NAMES = {"train": "training", "valid": "validation"}
TRAINING, VALIDATION = ("train",), ("valid",)
NOT_DRAWN = frozenset({"kind", "update", "epoch", "seconds", "skipped"})


class Kind(NamedTuple):
    """A chart: its title, what is to be said of it, whose numbers it shows, and which of them is the best."""

    title: str
    note: str = ""
    of: tuple[str, ...] = ("train", "valid")
    best: Any = None  # min or max
    logarithmic: bool = False


KINDS = {  # in this order; whatever else was measured comes behind
    "perplexity": Kind("Perplexity", "of a target token; in training with dropout", best=min, logarithmic=True),
    "bleu": Kind("BLEU", "of the validation set", VALIDATION, max),
    "loss": Kind("Training loss", "what is minimised, smoothed labels and all", TRAINING),
    "learning_rate": Kind("Learning rate", "", TRAINING),
    "gradient_norm": Kind("Gradient norm", "before clipping", TRAINING, logarithmic=True),
    "attention_entropy": Kind("Attention's entropy", "in nats: how widely it looks", VALIDATION),
    "attention_normalized_entropy": Kind("Attention's normalised entropy", "1: at all pieces alike", VALIDATION),
    "attention_coverage": Kind("Attention's coverage", "the share of the source that is read", VALIDATION),
    "attention_monotonicity": Kind("Attention's monotonicity", "1: along the diagonal", VALIDATION),
    "tokens_per_second": Kind("Speed", "target tokens a second", TRAINING),
}


def training_charts(metrics: Sequence[Mapping[str, Any]]) -> Markup:
    """All charts, or a sentence where nothing was written down."""
    keys = dict.fromkeys([*KINDS, *(key for line in metrics for key in line if key not in NOT_DRAWN)])
    charts = []
    for key in keys:
        kind = KINDS.get(key) or Kind(key.replace("_", " ").capitalize())
        curves = [curve for name in kind.of if (curve := _curve(metrics, key, name, kind)) is not None]
        if curves:
            charts.append(chart(kind.title, kind.note, curves, kind.logarithmic))
    if not charts:
        return element("p", {"class": "note"}, "metrics.jsonl has no numbers yet.")
    return element("div", {"class": "charts"}, *charts)


def skipped_updates(metrics: Sequence[Mapping[str, Any]]) -> Markup:
    """Said where there were any: a chart of zeros says nothing."""
    skipped = sum(line.get("skipped", 0) for line in metrics)
    text = f"{skipped:,.0f} updates were skipped for want of finite gradients." if skipped else None
    return join([element("p", {"class": "note"}, text) if text else None])


def _curve(metrics: Sequence[Mapping[str, Any]], key: str, name: str, kind: Kind) -> Curve | None:
    points: list[Point] = [
        (line["update"], line[key]) for line in metrics if line["kind"] == name and key in line and _drawable(line[key])
    ]
    if not points:
        return None
    best = kind.best(points, key=lambda point: point[1]) if kind.best and name == "valid" else None
    return Curve(NAMES[name], name, points, best)


def _drawable(value: float) -> bool:
    """Numbers so large that their sums overflow would take the picture with them."""
    return math.isfinite(value) and abs(value) < 1e100
