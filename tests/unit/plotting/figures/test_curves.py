"""Curves show the numbers that there are, the best validation, and whose they are."""

import math

import pytest

pytest.importorskip("matplotlib", reason="the extra plot isn't installed")

from seq2seq.plotting.figures.curves import Course, Points, curves


def course(name="a run", best=40.0, scale=1.0):
    train = {
        "loss": Points([10, 20, 30], [5.0, 4.0, 3.0]),
        "gradient_norm": Points([10, 20, 30], [1.0, math.nan, scale]),
        "tokens_per_second": Points([10], [math.nan]),
    }
    valid = {"loss": Points([20, 40], [4.5, 3.5]), "bleu": Points([20, 40], [10.0, 12.5])}
    return Course(name, train, valid, best)


def panels(figure):
    return {axes.get_title(loc="left").partition(" (")[0]: axes for axes in figure.axes}


def drawn(axes, marker):
    return [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == marker]


def test_training_is_a_line_and_validations_are_points():
    found = panels(curves([course()], "updates", "BLEU"))
    assert list(found) == ["loss", "BLEU", "gradient norm, before clipping"]  # speed has no number
    loss = found["loss"]
    assert drawn(loss, "None") == [[[10, 5.0], [20, 4.0], [30, 3.0]]]
    assert drawn(loss, "o") == [[[20, 4.5], [40, 3.5]]]
    assert drawn(loss, "*") == [[[40, 3.5]]]
    assert drawn(found["BLEU"], "*") == [[[40, 12.5]]]
    assert [text.get_text() for text in found["BLEU"].texts] == ["12.5"]
    assert {axes.get_xlabel() for axes in found.values()} == {"updates"}


def test_without_a_best_validation_there_is_no_star():
    found = panels(curves([course(best=None)], "updates", "BLEU"))
    assert drawn(found["BLEU"], "*") == []


@pytest.mark.parametrize(("scale", "kind"), [(20.0, "linear"), (100.0, "log")])
def test_what_differs_by_factors_is_drawn_by_factors(scale, kind):
    found = panels(curves([course(scale=scale)], "updates", "BLEU"))
    assert found["gradient norm, before clipping"].get_yscale() == kind
    assert found["loss"].get_yscale() == "linear"


@pytest.mark.parametrize("count", [2, 12])
def test_each_of_several_runs_has_a_colour_and_its_name(count):
    figure = curves([course(f"seed=${i}$") for i in range(count)], "epochs", "loss")
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["training", "validation", "best loss", *(f"seed=${i}$" for i in range(count))]
    assert not any(text.get_parse_math() for text in legend.get_texts())
    colours = {line.get_color() for line in panels(figure)["BLEU"].lines}
    assert len(colours) == count
    assert len(panels(figure)["BLEU"].texts) == 0  # numbers of many runs would hide each other
