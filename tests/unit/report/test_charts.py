"""Charts: where points stand, round numbers, and curves too long to draw."""

import math
import re
from xml.etree import ElementTree

import pytest

from seq2seq.evaluation.diagnostics import Diagnostics
from seq2seq.report.charts import MOST_POINTS, Axis, Curve, bars, chart, number, thinned
from seq2seq.report.curves import KINDS, training_charts


def test_an_axis_is_linear_or_logarithmic() -> None:
    linear = Axis(0, 10, 100, 200)
    assert [linear.place(value) for value in (0, 5, 10)] == [100, 150, 200]
    logarithmic = Axis(1, 100, 200, 100, True)
    assert [logarithmic.place(value) for value in (1, 10, 100)] == pytest.approx([200, 150, 100])


@pytest.mark.parametrize("low", [0, 0.001, 3, 17.3, 1e6])
@pytest.mark.parametrize("size", [1e-4, 0.3, 2, 450, 1e7])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_ticks_are_few_and_within(low: float, size: float, logarithmic: bool) -> None:
    axis = Axis.over([low, low + size], 0, 100, logarithmic)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    assert all(-1e-6 <= axis.place(tick) <= 100 + 1e-6 for tick in ticks)


def test_one_value_alone_has_an_axis() -> None:
    for value in (0, 5, -3):
        axis = Axis.over([value, value], 0, 100)
        assert 0 <= axis.place(value) <= 100
        assert axis.ticks()


def test_long_curves_keep_their_mean() -> None:
    points = [(float(i), math.sin(i)) for i in range(8000)]
    short = thinned(points)
    assert len(short) == MOST_POINTS
    assert sum(y for _, y in short) / len(short) == pytest.approx(sum(y for _, y in points) / len(points), abs=1e-9)
    assert thinned(points[:MOST_POINTS]) == points[:MOST_POINTS]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (41.23, "41.2"), (8300, "8,300"), (0.0002, "2e-4"), (0.53, "0.53"), (-3, "-3")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_chart_draws_its_points_where_they_belong() -> None:
    figure = ElementTree.fromstring(chart("T & <t>", "n", [Curve("c", "train", [(0, 1), (50, 3), (100, 1)], (50, 3))]))
    path = figure.find(".//path").get("d")
    (x0, y0), (x1, y1), (x2, y2) = [tuple(map(float, place.split())) for place in re.split("[ML]", path)[1:]]
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)  # halfway in updates
    assert y1 < y0 == y2  # up is more
    best = figure.find(".//circle[@class='best']")
    assert (float(best.get("cx")), float(best.get("cy"))) == (x1, y1)
    assert "best 3" in {node.text for node in figure.iter("text")}
    assert figure.find(".//b").text == "T & <t>"


def test_whatever_a_training_measured_is_drawn() -> None:
    metrics = [
        {"kind": "train", "update": 1, "perplexity": 9.0, "loss": 3.0, "skipped": 2},
        {"kind": "valid", "update": 2, "perplexity": 8.0, "loss": 2.0, "seconds": 3.0},
        {"kind": "valid", "update": 3, "perplexity": 7.0, "my_own_measure": 1.0},
        {"kind": "valid", "update": 4, "perplexity": 7.5},
    ]
    page = ElementTree.fromstring(training_charts(metrics))
    assert [node.text for node in page.iter("b")] == ["Perplexity", "Training loss", "My own measure"]
    assert "best 7" in {node.text for node in page.iter("text")}
    assert "no numbers yet" in training_charts([])


def test_every_figure_of_attention_has_a_title() -> None:
    assert {f"attention_{name}" for name in Diagnostics._fields} <= KINDS.keys()


def test_bars_are_shares_of_the_longest() -> None:
    rows = bars([("a",), ("b",), ("c",)], [20.0, None, 40.0], 40.0)
    assert [row[:2] for row in rows] == [["a", "20.0"], ["b", "–"], ["c", "40.0"]]
    assert ElementTree.fromstring(str(rows[0][2])).find("rect").get("width") == "50.0"
