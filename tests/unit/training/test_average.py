"""The moving average of the weights, against the recurrence written out, and its way through a checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seq2seq.training.average import MovingAverage

STEPS = [0.3, -1.2, 0.7, 2.0, -0.4]


def moved(model: nn.Module, step: float) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            weight += step


def test_the_average_is_the_recurrence_with_its_warm_up() -> None:
    model = nn.Linear(1, 1).double()
    weight = model.weight.item()
    average, expected = MovingAverage(model, 0.3), weight
    for update, step in enumerate(STEPS, start=1):
        moved(model, step)
        average.update()
        weight += step
        decay = min(0.3, (1 + update) / (10 + update))  # 2/11 and 3/12 are below 0.3, later ones above
        expected = decay * expected + (1 - decay) * weight
    with average.applied():
        assert model.weight.item() == pytest.approx(expected, abs=1e-12)
    assert model.weight.item() == pytest.approx(weight, abs=1e-12)


def test_tied_weights_stay_tied_and_what_has_no_gradient_to_follow_is_left() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2))
    model[1].weight = model[0].weight
    average = MovingAverage(model, 0.9)
    moved(model, 1.0)
    average.update()
    with average.applied():
        assert model[1].weight is model[0].weight
    assert len(average.state_dict()["weights"]) == 3  # the tied one once, and the two of the normalisation


def test_without_a_decay_nothing_is_kept() -> None:
    model = nn.Linear(2, 2)
    average, before = MovingAverage(model, 0.0), model.weight.clone()
    moved(model, 1.0)
    average.update()
    with average.applied():
        assert torch.equal(model.weight, before + 1)
    assert average.state_dict() == {"updates": 0, "weights": []}


def test_weights_come_back_after_an_error() -> None:
    model = nn.Linear(2, 2)
    average = MovingAverage(model, 0.9)
    moved(model, 1.0)
    weight = model.weight.clone()
    with pytest.raises(ZeroDivisionError), average.applied():
        raise ZeroDivisionError
    assert torch.equal(model.weight, weight)


def test_a_saved_average_goes_on_as_if_it_had_not_been_saved() -> None:
    model = nn.Linear(3, 2)
    average = MovingAverage(model, 0.9)
    for step in STEPS:
        moved(model, step)
        average.update()
    with average.applied():
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        state = {**average.state_dict(), "weights": [tensor.clone() for tensor in average.state_dict()["weights"]]}
    other = nn.Linear(3, 2)
    other.load_state_dict(weights)  # a checkpoint's weights are the average
    again = MovingAverage(other, 0.9)
    again.load_state_dict(state)
    for one, its in ((model, average), (other, again)):
        moved(one, 0.5)
        its.update()
    assert torch.equal(model.weight, other.weight)
    with average.applied(), again.applied():
        assert torch.equal(model.weight, other.weight)
