"""Scheduled sampling: its schedules, what the second pass reads, and how predictions are drawn."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from seq2seq.training import loss as loss_module
from seq2seq.training.objectives import scheduled_sampling
from seq2seq.training.objectives.scheduled_sampling import PICKERS, ScheduledSampling, increasing, likeliest, sampled

BOS = 1


@pytest.mark.parametrize("half", [1, 7, 500, 100_000])
@pytest.mark.parametrize("final", [1.0, 0.25])
def test_schedules_are_those_of_bengio_et_al(half: int, final: float) -> None:
    """2015, section 2.4: k - c i, k^i and k / (k + exp(i / k)), the chance of the reference's token."""
    log_k = 1.0  # k log k = half, by bisection
    low, high = 0.0, 20.0
    for _ in range(200):
        log_k = (low + high) / 2
        low, high = (log_k, high) if log_k * math.exp(log_k) < half else (low, log_k)
    k = math.exp(log_k)
    for i in (0, half // 3, half, 2 * half, 3 * half):
        reference = {
            "linear": max(0.0, 1 - i / (2 * half)),
            "exponential": math.exp(math.log(0.5) / half) ** i,
            "inverse_sigmoid": k / (k + math.exp(i / k)) if i / k < 500 else 0.0,
        }
        for schedule, epsilon in reference.items():
            probability = increasing(final, schedule, half)(i)
            assert probability == pytest.approx(final * (1 - epsilon), abs=1e-9), (schedule, i)
    for schedule in reference:
        chance = increasing(final, schedule, half)
        assert chance(half) == pytest.approx(final / 2)
        assert chance(10**9) == pytest.approx(final)
        values = [chance(i) for i in range(0, 3 * half, max(1, half // 20))]
        assert values == sorted(values)


def objective(probability: float, predictions: str = "argmax") -> ScheduledSampling:
    return ScheduledSampling(0.1, 0.0, lambda update: probability, PICKERS[predictions])


def watched(model: Any) -> list[torch.Tensor]:
    """What the model's passes read as target_input from now on."""
    read: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda _, given: read.append(given[2].clone()))
    return read


def test_with_probability_one_the_second_pass_reads_predictions(bench: Any) -> None:
    """At each step the likeliest token after the reference's prefix; BOS and padding stay."""
    model = bench.model(bench.config({"name": "cross_entropy"}))
    batch = bench.batch((4, 3), (2, 5), (3, 0))
    read = watched(model)
    objective(1.0)(model, batch, 1)
    assert torch.equal(read[0], batch.target_input)
    assert len(read) == 2
    for row, length in enumerate(batch.target_lengths.tolist()):
        one = [field[row : row + 1] for field in batch]
        features = model(one[0], one[1], one[2][:, :length], torch.ones(1, length, dtype=torch.bool)).features
        predictions = model.output(features).argmax(1).tolist()
        assert read[1][row, :length].tolist() == [BOS, *predictions[:-1]]
        assert torch.equal(read[1][row, length:], batch.target_input[row, length:])
    assert not torch.equal(read[1], batch.target_input)


def test_the_loss_is_of_the_references_after_what_was_read(bench: Any) -> None:
    config = bench.config({"name": "cross_entropy"})
    model, batch = bench.model(config), bench.batch((4, 3), (2, 5))
    read = watched(model)
    found = objective(1.0)(model, batch, 1)
    expected = bench.objective(config)(model, batch._replace(target_input=read[1]), 1)
    assert torch.equal(found.trained, expected.trained)
    assert torch.equal(found.nll, expected.nll)


def test_about_so_many_tokens_are_replaced(bench: Any) -> None:
    model = bench.model(bench.config({"name": "cross_entropy"}))
    batch = bench.batch(*[(3, 20)] * 60)
    monkey = torch.full((batch.target_tokens,), 99)  # no word of any reference
    torch.manual_seed(0)
    picked = ScheduledSampling(0.0, 0.0, lambda update: 0.3, lambda features, output: monkey)
    share = float((picked._mixed(model, batch, 0.3) == 99).float()[:, 1:].mean())
    assert share == pytest.approx(0.3, abs=0.05)  # of 1,200 tokens: about four standard deviations


def test_with_probability_zero_it_is_cross_entropy_and_draws_nothing(bench: Any) -> None:
    config = bench.config({"name": "cross_entropy"})
    model, batch = bench.model(config), bench.batch((4, 3), (2, 5))
    state = torch.get_rng_state()
    found = objective(0.0, "sampled")(model, batch, 1)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(found.trained, bench.objective(config)(model, batch, 1).trained)


def test_no_gradient_goes_through_the_predictions(bench: Any, gradients: Any) -> None:
    config = bench.config({"name": "cross_entropy"})
    model, batch = bench.model(config), bench.batch((4, 3), (2, 5))
    read = watched(model)
    found = gradients(model, objective(1.0)(model, batch, 1).trained)
    fixed = bench.objective(config)(model, batch._replace(target_input=read[1]), 1)
    for name, gradient in gradients(model, fixed.trained).items():
        assert torch.equal(found[name], gradient), name


def test_sampled_predictions_follow_the_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    output = nn.Linear(3, 6)
    with torch.no_grad():
        output.weight.mul_(3)
    features = torch.randn(1, 3)
    monkeypatch.setattr(scheduled_sampling, "block_sizes", lambda tokens, matrix: (700, 1))
    drawn = sampled(features.expand(20_000, 3), output)
    shares = torch.bincount(drawn, minlength=6) / 20_000
    expected = output(features).detach().softmax(1).squeeze(0)
    assert float((shares - expected).abs().max()) < 0.015  # four standard deviations of the largest
    assert likeliest(features, output).tolist() == [int(expected.argmax())]


@pytest.mark.parametrize("pick", [likeliest, sampled])
def test_predictions_dont_depend_on_the_blocks(pick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    output, features = nn.Linear(3, 6), torch.randn(50, 3)
    found = []
    for block in (1, 7, 50):
        monkeypatch.setattr(scheduled_sampling, "block_sizes", lambda tokens, matrix, block=block: (block, 1))
        torch.manual_seed(4)
        found.append(pick(features, output))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert loss_module.block_sizes(50, output.weight)[0] == 50


def test_a_distribution_with_impossible_words_gives_only_possible_ones() -> None:
    output = nn.Linear(1, 4)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[-1e4], [1.0], [-1e4], [-1e4]]))
        output.bias.zero_()
    assert sampled(torch.ones(1000, 1), output).unique().tolist() == [1]
