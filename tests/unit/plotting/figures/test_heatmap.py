"""A map has its words where their weights are, and room for all of them."""

import pytest

pytest.importorskip("matplotlib", reason="the extra plot isn't installed")

import numpy as np
from matplotlib.collections import QuadMesh

from seq2seq.plotting.figures.heatmap import FEW, LONGEST, heatmap


def labels(figure):
    """Target and source words by the place in the map at which they stand, counted from the top and from the left."""
    axes = figure.axes[0]
    top_first = axes.yaxis_inverted()
    target = {int(tick): text.get_text() for tick, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    source = {int(tick): text.get_text() for tick, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
    assert top_first
    assert axes.xaxis.get_ticks_position() == "top"
    return target, source


def shades(figure):
    return next(child for child in figure.axes[0].get_children() if isinstance(child, QuadMesh)).get_array()


def test_words_stand_at_their_weights():
    weights = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    figure = heatmap(weights, ["a", "</s>"], ["x", "y", "</s>"])
    assert labels(figure) == ({0: "a", 1: "</s>"}, {0: "x", 1: "y", 2: "</s>"})
    np.testing.assert_array_equal(shades(figure), weights)
    written = {(text.get_position(), text.get_text()) for text in figure.axes[0].texts}
    assert written == {
        ((0.5, 0.5), ".90"), ((1.5, 0.5), ".10"), ((0.5, 1.5), ".20"), ((1.5, 1.5), ".30"), ((2.5, 1.5), ".50"),
    }  # fmt: skip


def test_a_weight_of_one_is_not_a_hundredth_of_one():
    (text,) = heatmap([[1.0]], ["a"], ["b"]).axes[0].texts
    assert text.get_text() == "1.00"


@pytest.mark.parametrize(("target", "source"), [(1, 1), (5, 5), (5, 60), (60, 5), (60, 60)])
def test_all_that_is_drawn_lies_in_the_figure(target, source):
    words = ["Wort", "ein", "Donaudampfschiff", "日本", "."]
    weights = np.full((target, source), 1 / source)
    figure = heatmap(weights, (words * 12)[:target], (words * 12)[:source], "a title")
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= height


@pytest.mark.parametrize("words", [5, 20, 60])
def test_words_are_no_taller_than_their_cells(words):
    figure = heatmap(np.eye(words), ["Wort"] * words, ["word"] * words)
    axes = figure.axes[0]
    figure.draw_without_rendering()
    cell = axes.get_window_extent().height / words
    tallest = max(text.get_window_extent().height for text in axes.get_yticklabels())
    assert tallest < 1.05 * cell
    assert axes.get_yticklabels()[0].get_fontsize() >= 9
    assert axes.get_window_extent().width / words == pytest.approx(cell, rel=0.01)  # squares
    assert bool(axes.texts) == (words <= FEW)


def test_what_is_not_to_be_seen_is_shown_and_what_is_markup_is_text():
    figure = heatmap(np.eye(4), ["a\tb", " ", "$x^2$", "y" * 99], list("abcd"), "$5 and $6")
    target, _ = labels(figure)
    assert target == {0: "a\ufffdb", 1: "\u2423", 2: "$x^2$", 3: "y" * (LONGEST - 1) + "…"}
    texts = [*figure.axes[0].get_yticklabels(), figure.axes[0]._left_title]
    assert not any(text.get_parse_math() for text in texts)


def test_short_words_stand_upright_and_long_ones_slant():
    upright = heatmap(np.eye(3), list("abc"), ["我", "ja", "."])
    slanting = heatmap(np.eye(3), list("abc"), ["ich", "verstehe", "."])
    assert {text.get_rotation() for text in upright.axes[0].get_xticklabels()} == {0}
    assert all(0 < text.get_rotation() < 90 for text in slanting.axes[0].get_xticklabels())


def test_other_numbers_of_words_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 2\) for 2 target and 3 source words"):
        heatmap(np.eye(2), ["a", "b"], ["a", "b", "c"])
