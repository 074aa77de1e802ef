"""Entropy, coverage and monotonicity of attention, against loops written from their definitions."""

import math
import statistics

import pytest
import torch

from seq2seq.evaluation.diagnostics import AttentionMeter, Diagnostics


def read(*sentences):
    """The diagnostics of these sentences' weights (T, S), each in a batch of its own."""
    meter = AttentionMeter()
    for weights in sentences:
        add(meter, [weights])
    return meter.read()


def add(meter, sentences, padding=0.0, extra=0):
    """One batch; in cells of no token stands `padding`."""
    targets, sources = ([weights.shape[side] for weights in sentences] for side in (0, 1))
    batch = torch.full((len(sentences), max(targets) + extra, max(sources) + extra), padding)
    for i, weights in enumerate(sentences):
        batch[i, : targets[i], : sources[i]] = weights
    meter.add(batch, torch.tensor(sources), torch.tensor(targets))


def attention(seed, *sizes):
    generator = torch.Generator().manual_seed(seed)
    return [(3 * torch.randn(size, generator=generator)).softmax(-1) for size in sizes]


SENTENCES = attention(1, (5, 7), (1, 2), (9, 3), (4, 1), (6, 6))


def by_loops(sentences):
    entropies, shares, covered, steps, places = [], [], [], [], []
    for weights in sentences:
        rows = weights.double().tolist()
        source = len(rows[0])
        for row in rows:
            entropies.append(-sum(a * math.log(a) for a in row if a > 0))
            shares.append(entropies[-1] / math.log(source) if source > 1 else 0.0)
        covered += [min(sum(row[s] for row in rows), 1.0) for s in range(source)]
        expected = [sum(s * a for s, a in enumerate(row)) / source for row in rows]
        centre = statistics.fmean(expected)
        places += [place - centre for place in expected]
        steps += [(t - (len(rows) - 1) / 2) / len(rows) for t in range(len(rows))]
    together = sum(x * y for x, y in zip(steps, places, strict=True))
    spread = math.sqrt(sum(x * x for x in steps) * sum(y * y for y in places))
    return Diagnostics(*map(statistics.fmean, (entropies, shares, covered)), together / spread)


def test_they_are_what_their_definitions_say():
    assert read(*SENTENCES) == pytest.approx(by_loops(SENTENCES), abs=1e-6)


@pytest.mark.parametrize("padding", [0.0, 0.3, 1.0])
def test_batches_and_padding_change_nothing(padding):
    meter = AttentionMeter()
    add(meter, SENTENCES[:3], padding, extra=2)
    add(meter, SENTENCES[3:], padding)
    assert meter.read() == pytest.approx(by_loops(SENTENCES), abs=1e-6)


def test_attention_to_one_word_after_the_other():
    expected = Diagnostics(entropy=0.0, normalized_entropy=0.0, coverage=1.0, monotonicity=1.0)
    assert read(torch.eye(6)) == pytest.approx(expected, abs=1e-6)
    assert read(torch.eye(6).flip(0)).monotonicity == pytest.approx(-1.0)


def test_steps_of_any_size_are_monotone_as_long_as_they_are_even():
    """Sentences twice and half as long as their sources, together: each on its own diagonal."""
    double, half = torch.eye(8)[::2], torch.eye(4).repeat_interleave(2, 0)
    assert read(double).monotonicity == pytest.approx(1.0)
    assert read(half, half).monotonicity == pytest.approx(math.sqrt(20 / 21))  # 0 0 1 1 2 2 3 3: not quite a line
    assert 0.97 < read(double, half).monotonicity < 1


@pytest.mark.parametrize("size", [2, 7, 30])
def test_attention_to_all_words_alike(size):
    found = read(torch.full((5, size), 1 / size))
    assert found.entropy == pytest.approx(math.log(size), abs=1e-5)
    assert found.normalized_entropy == pytest.approx(1.0, abs=1e-5)
    assert found.coverage == pytest.approx(min(5 / size, 1.0), abs=1e-5)
    assert found.monotonicity == 0.0  # nothing moves: rounding is not a direction


def test_words_that_are_left_out_and_words_that_are_read_again():
    """Three steps on source word 0, one on word 1, none on 2 and 3."""
    weights = torch.eye(4)[[0, 0, 0, 1]]
    assert read(weights).coverage == 0.5


def test_rows_that_dont_sum_to_one_are_brought_to_it():
    weights = SENTENCES[0] * torch.tensor([0.2, 1.0, 0.7, 0.01, 0.5]).unsqueeze(1)
    assert read(weights) == pytest.approx(by_loops(SENTENCES[:1]), abs=1e-5)
    assert all(map(math.isfinite, read(torch.zeros(3, 4))))


def test_half_precision_is_widened():
    assert read(SENTENCES[0].bfloat16()) == pytest.approx(by_loops(SENTENCES[:1]), abs=0.02)


def test_without_attention_there_is_nothing_to_tell():
    assert AttentionMeter().read() is None


def test_reports_name_them_by_what_they_are_of():
    assert Diagnostics(0.12345678, 0.5, 0.25, -1.0).numbers() == {
        "attention_entropy": 0.123457,
        "attention_normalized_entropy": 0.5,
        "attention_coverage": 0.25,
        "attention_monotonicity": -1.0,
    }
