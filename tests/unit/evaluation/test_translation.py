"""A translation's attention, between words or pieces, and its picture."""

import pytest
import torch

from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.translation import EOS, Hypothesis, Translation

WEIGHTS = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.0, 0.5, 0.25, 0.25], [0.0, 0.0, 0.0, 1.0]])
TRANSLATION = Translation(
    "Hundehütte da",
    ["▁Hunde", "hütte", "▁da", EOS],
    [
        Hypothesis("kennel", -0.1, -0.2, ["▁ken", "nel"], WEIGHTS),
        Hypothesis("a dog", -0.3, -0.6, ["▁a", "▁dog"], WEIGHTS),
        Hypothesis("dog", -0.4, -0.4, ["▁dog"]),
    ],
)


def test_pieces_keep_their_weights():
    weights, target, source = TRANSLATION.attention_map(units="pieces")
    assert torch.equal(weights, WEIGHTS)
    assert (target, source) == (["▁ken", "nel", EOS], TRANSLATION.source_tokens)


def test_words_have_the_sum_over_the_source_and_the_mean_over_the_target():
    weights, target, source = TRANSLATION.attention_map()
    assert (target, source) == (["kennel", EOS], ["Hundehütte", "da", EOS])
    expected = torch.tensor([[(0.75 + 0.5) / 2, (0.125 + 0.25) / 2, (0.125 + 0.25) / 2], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(weights, expected)


def test_any_hypothesis_of_the_beam():
    weights, target, _ = TRANSLATION.attention_map(hypothesis=1)
    assert target == ["a", "dog", EOS]
    torch.testing.assert_close(weights[0], torch.tensor([0.75, 0.125, 0.125]))


def test_without_attention_it_says_how_to_get_it():
    with pytest.raises(ConfigError, match="translate with attention=True"):
        TRANSLATION.attention_map(hypothesis=2)
    blank = Translation("  ", [EOS], [Hypothesis("", 0.0, 0.0, [])])
    with pytest.raises(ConfigError, match="units=word is not allowed: it must be one of words, pieces"):
        TRANSLATION.attention_map(units="word")
    with pytest.raises(DataError, match="blank line"):
        blank.attention_map()


def test_the_picture_shows_the_map_and_names_a_hypothesis_that_is_not_the_best(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra plot isn't installed")
    figure = TRANSLATION.plot(tmp_path / "new" / "a.png", hypothesis=1)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "dog", EOS]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Hundehütte", "da", EOS]
    assert axes.get_title(loc="left") == "hypothesis 2: a dog"
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert TRANSLATION.plot().axes[0].get_title(loc="left") == ""
    with pytest.raises(ConfigError, match=r"must end in \.png"):
        TRANSLATION.plot(tmp_path / "a.jpg")
