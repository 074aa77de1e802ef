"""Sums over updates: means a token, rates, skipped updates, and where they go on after a checkpoint."""

import math
from typing import Any

import pytest
import torch

from seq2seq.training.loss import Loss
from seq2seq.training.meter import Meter

CPU = torch.device("cpu")


def add(meter: Meter, loss: float, nll: float, tokens: int, norm: float = 1.0, sound: bool = True) -> None:
    sums = Loss(torch.tensor(loss), torch.tensor(nll))
    meter.add(sums, torch.tensor(norm), tokens, torch.tensor(sound))


def test_means_are_over_tokens_and_then_forgotten() -> None:
    meter = Meter(CPU)
    add(meter, 6.0, 4.0, 2, norm=9.0)
    add(meter, 3.0, 2.0, 1, norm=2.5)
    meter.seconds = 1.5
    assert meter.read(0.25) == {
        "loss": 3.0,
        "perplexity": round(math.exp(2), 4),
        "tokens_per_second": 2.0,
        "learning_rate": 0.25,
        "gradient_norm": 2.5,  # of the last update
        "skipped": 0,
    }
    add(meter, 10.0, 0.0, 4)
    meter.seconds = 1.0
    numbers = meter.read(0.25)
    assert (numbers["loss"], numbers["perplexity"], numbers["tokens_per_second"]) == (2.5, 1.0, 4.0)


def test_a_skipped_update_counts_for_nothing_but_time_and_itself() -> None:
    meter = Meter(CPU)
    add(meter, 6.0, 4.0, 2)
    add(meter, math.nan, math.nan, 5, norm=math.inf, sound=False)
    meter.seconds = 7.0
    numbers = meter.read(1.0)
    assert (numbers["loss"], numbers["perplexity"]) == (3.0, round(math.exp(2), 4))
    assert (numbers["skipped"], numbers["gradient_norm"], numbers["tokens_per_second"]) == (1, None, 1.0)


def test_there_is_no_mean_where_all_was_skipped() -> None:
    meter = Meter(CPU)
    add(meter, math.inf, math.inf, 5, norm=math.nan, sound=False)
    numbers = meter.read(1.0)
    assert (numbers["loss"], numbers["perplexity"], numbers["gradient_norm"]) == (None, None, None)
    assert numbers["skipped"] == 1
    assert meter.read(1.0)["skipped"] == 0


def test_skipped_in_a_row_are_counted_across_reports() -> None:
    meter, counts = Meter(CPU), []
    for sound in (False, True, False, False, False, True):
        add(meter, 1.0, 1.0, 1, sound=sound)
        counts.append(meter.skipped_in_row())
        meter.read(1.0)
    assert counts == [1, 1, 1, 2, 3, 3]  # a row that went on at one look is told at the next
    assert meter.skipped_in_row() == 0


def test_a_row_between_two_looks_is_seen() -> None:
    meter = Meter(CPU)
    for sound in (True, False, False, False, True, False, True):
        add(meter, 1.0, 1.0, 1, sound=sound)
    assert [meter.skipped_in_row() for _ in range(2)] == [3, 0]


def test_a_loss_beyond_exponentials_has_a_perplexity_all_the_same() -> None:
    meter = Meter(CPU)
    add(meter, 1e6, 1e6, 1)
    assert meter.read(1.0)["perplexity"] == round(math.exp(700), 4)


def test_small_losses_aren_t_lost_beside_large_sums() -> None:
    """A thousand updates of 2**24 tokens: float32 would add nothing to sums of this size."""
    meter = Meter(CPU)
    for _ in range(1000):
        add(meter, 2.0**25, 2.0**24, 2**24)
    add(meter, 3.0, 3.0, 3)
    assert int(meter.state_dict()["sums"][2]) == 1000 * 2**24 + 3


def test_a_loaded_meter_goes_on_where_it_was() -> None:
    def steps(meter: Meter, losses: list[float]) -> None:
        for loss in losses:
            meter.seconds += 0.5
            add(meter, loss, loss / 3, 3, norm=loss, sound=math.isfinite(loss))

    whole, first, second = Meter(CPU), Meter(CPU), Meter(CPU)
    before, after = [1.1, 2.7, math.nan], [math.inf, 0.3]
    steps(whole, before + after)
    steps(first, before)
    kept: Any = {
        name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in first.state_dict().items()
    }
    second.load_state_dict(kept)
    assert second.skipped_in_row() == 1
    steps(second, after[:1])
    assert second.skipped_in_row() == 2
    steps(second, after[1:])
    assert second.read(1.0) == whole.read(1.0)
    assert kept["sums"].tolist() == pytest.approx([3.8, 3.8 / 3, 6, 1])  # what was loaded from isn't written to


def test_sums_of_another_shape_are_refused() -> None:
    meter = Meter(CPU)
    with pytest.raises(RuntimeError):
        meter.load_state_dict({**meter.state_dict(), "sums": torch.zeros(7)})
