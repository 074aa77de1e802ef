"""When intervals end and limits are met."""

from __future__ import annotations

import pytest
import torch

from seq2seq.config import Config
from seq2seq.data.sampler import BatchSampler
from seq2seq.training.limits import Limits
from seq2seq.training.state import Counters


def limits(updates_per_epoch: int = 10, **options: object) -> Limits:
    return Limits(Config.from_dict({"trainer": options}).trainer, updates_per_epoch)


def test_an_epoch_of_batches_rounds_up_to_updates() -> None:
    lengths = torch.full((70,), 5)
    epoch = BatchSampler(lengths, lengths, batch_tokens=None, batch_sentences=10, seed=1).epoch(0)
    options = Config.from_dict({"trainer": {"accumulate": 3, "max_epochs": 4}}).trainer
    assert Limits.of(options, epoch).updates_per_epoch == 3  # of 7 batches
    assert Limits.of(options, epoch).last_update == 12


@pytest.mark.parametrize(
    ("every", "counters", "due"),
    [
        (5, Counters(update=0), False),
        (5, Counters(update=10, epoch=0, batch=10), True),
        (5, Counters(update=11), False),
        ("2 epochs", Counters(update=20, epoch=2, batch=0), True),
        ("2 epochs", Counters(update=10, epoch=1, batch=0), False),
        ("2 epochs", Counters(update=21, epoch=2, batch=1), False),
    ],
)
def test_intervals(every: int | str, counters: Counters, due: bool) -> None:
    assert limits().due(every, counters) is due


@pytest.mark.parametrize(
    ("options", "counters", "seconds", "reason"),
    [
        ({"max_updates": 7}, Counters(update=7), 0.0, "trainer.max_updates=7"),
        ({"max_epochs": 3}, Counters(update=30, epoch=3), 0.0, "trainer.max_epochs=3"),
        ({"max_minutes": 1.5}, Counters(update=5), 90.0, "trainer.max_minutes=1.5"),
        (
            {"patience": 2, "best": "loss"},
            Counters(update=5, validations_without_better=2),
            0.0,
            "no better loss in 2 validations (trainer.patience)",
        ),
        ({"max_updates": 8, "max_minutes": 2, "patience": 3}, Counters(update=7), 119.0, None),
    ],
)
def test_the_reason_to_stop(options: dict[str, object], counters: Counters, seconds: float, reason: str | None) -> None:
    assert limits(**options).reason_to_stop(counters, seconds) == reason


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"max_epochs": 4, "max_minutes": None}, "2:00 left"),  # 10 of 40 updates took 40 seconds
        ({"max_epochs": 4, "max_minutes": 1}, "0:20 left"),
        ({"max_epochs": None, "max_minutes": 0.5}, "0:00 left"),
    ],
)
def test_the_time_that_is_left_is_that_to_the_nearest_limit(options: dict[str, object], left: str) -> None:
    assert limits(**options).time_left(Counters(update=10), 40.0) == left
