import math

import pytest
import torch

from seq2seq.errors import ConfigError, DataError
from seq2seq.models.positions import Learned, Positions, Rotary, Sinusoidal

FAR = 3000  # a position whose angles in half precision would be off by whole radians


def wave(position, dimension, size):
    """PE(t, 2i) = sin(t / 10000^(2i/E)), PE(t, 2i+1) = cos(t / 10000^(2i/E))."""
    angle = position / 10000 ** ((dimension - dimension % 2) / size)
    return (math.sin, math.cos)[dimension % 2](angle)


def waves(first, length, size):
    return torch.tensor([[wave(t, d, size) for d in range(size)] for t in range(first, first + length)])


@pytest.mark.parametrize("size", [1, 2, 6, 7])
@pytest.mark.parametrize("first", [0, 4])
def test_sinusoids_are_the_papers(tensors, size, first):
    embedded = tensors(0)(2, 5, size)
    torch.testing.assert_close(Sinusoidal()(embedded, first), embedded + waves(first, 5, size), atol=1e-5, rtol=0)


def test_sinusoids_reach_any_length_in_any_precision():
    embedded = torch.zeros(1, 2, 8, dtype=torch.bfloat16)
    found = Sinusoidal()(embedded, FAR)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found[0].float(), waves(FAR, 2, 8), atol=4e-3, rtol=0)


def test_sinusoids_of_another_amplitude(tensors):
    embedded = tensors(1)(2, 3, 4)
    torch.testing.assert_close(Sinusoidal(0.25)(embedded), embedded + 0.25 * waves(0, 3, 4))


def test_learned_positions_are_added(tensors):
    positions, embedded = Learned(7, 4, std=1.0), tensors(2)(2, 3, 4)
    for first in (0, 4):
        found = positions(embedded, first)
        for sentence in range(2):
            for step in range(3):
                expected = embedded[sentence, step] + positions.weight[first + step]
                torch.testing.assert_close(found[sentence, step], expected)


def test_learned_positions_start_as_they_are_told():
    torch.manual_seed(0)
    weight = Learned(1000, 100, std=0.1).weight
    assert weight.std().item() == pytest.approx(0.1, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=0.002)


def test_more_words_than_learned_positions():
    positions = Learned(7, 4, std=0.1)
    message = (
        r"a sentence of 8 tokens is longer than max_length=7, the positions that the model has learned; split the "
        r"sentence, or train with max_length=8 or more, or with positions=sinusoidal"
    )
    with pytest.raises(DataError, match=message):
        positions(torch.zeros(1, 8, 4))
    with pytest.raises(DataError, match=message):
        positions(torch.zeros(1, 1, 4), first=7)
    positions(torch.zeros(1, 1, 4), first=6)


@pytest.mark.parametrize("first", [0, 5])
def test_rotary_turns_every_pair_by_its_own_angle(tensors, first):
    vectors = tensors(3, torch.float64)(2, 3, 4, 6)  # B, h, T, d
    expected = torch.empty_like(vectors)
    for t in range(4):
        for i in range(3):
            angle = (first + t) * 10000 ** (-2 * i / 6)
            left, right = vectors[:, :, t, i], vectors[:, :, t, i + 3]
            expected[:, :, t, i] = math.cos(angle) * left - math.sin(angle) * right
            expected[:, :, t, i + 3] = math.sin(angle) * left + math.cos(angle) * right
    torch.testing.assert_close(Rotary(6).rotate(vectors, first), expected, atol=1e-5, rtol=0)


def test_rotary_scores_depend_on_the_distance_alone(tensors):
    rotary = Rotary(8)
    query, key = tensors(4)(1, 1, 1, 8), tensors(5)(1, 1, 1, 8)

    def score(t, s):
        return (rotary.rotate(query, t) * rotary.rotate(key, s)).sum().item()

    for distance in (0, 1, 3, -2):
        scores = [score(s + distance, s) for s in (2, 5, 40)]
        assert scores == pytest.approx([scores[0]] * 3, abs=1e-4)
    apart = [score(10, 10 - distance) for distance in range(5)]
    assert min(abs(a - b) for a in apart for b in apart if a is not b) > 0.01
    assert abs(score(10, 8) - score(8, 10)) > 0.01  # and on its sign
    assert score(3, 3) == pytest.approx((query * key).sum().item(), abs=1e-5)


def test_rotary_keeps_precision_far_from_the_start(tensors):
    vectors = tensors(6)(1, 1, 1, 8).bfloat16()
    found = Rotary(8).rotate(vectors, FAR)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), Rotary(8).rotate(vectors.float(), FAR), atol=2e-2, rtol=0)


def test_rotary_needs_pairs():
    message = (
        r"positions=rotary turns pairs of dimensions, so that hidden_size / num_heads must be even, not 5; change one "
        r"of the two, or set positions=sinusoidal"
    )
    with pytest.raises(ConfigError, match=message):
        Rotary(5)


@pytest.mark.parametrize("positions", [Sinusoidal(), Learned(9, 4, std=1.0), Rotary(4), Positions()], ids=repr)
def test_step_by_step_is_all_at_once(tensors, positions):
    embedded, vectors = tensors(7)(2, 6, 4), tensors(8)(2, 3, 6, 4)
    added = torch.cat([positions(embedded[:, t : t + 1], t) for t in range(6)], dim=1)
    assert torch.equal(added, positions(embedded))
    turned = torch.cat([positions.rotate(vectors[:, :, t : t + 1], t) for t in range(6)], dim=2)
    assert torch.equal(turned, positions.rotate(vectors))


def test_each_is_told_in_one_place(tensors):
    embedded, vectors = tensors(9)(2, 6, 4), tensors(10)(2, 3, 6, 4)
    for positions, added, turned in [
        (Positions(), False, False),
        (Sinusoidal(), True, False),
        (Learned(6, 4, std=1.0), True, False),
        (Rotary(4), False, True),
    ]:
        assert torch.equal(positions(embedded), embedded) != added
        assert torch.equal(positions.rotate(vectors), vectors) != turned
