"""Options of the optimizers, the schedules and the trainer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, Self

from seq2seq.errors import ConfigError
from seq2seq.options.base import Auto, number, numbers
from seq2seq.schema import component, show

MOST = 1_000_000_000  # of anything that is counted
LARGEST = 1e38  # float32 ends there


@component("optimizer", "adam")
@dataclass(frozen=True)
class AdamConfig:
    name: str = "adam"
    learning_rate: float = number(2e-3, 0.0, LARGEST)
    betas: list[float] = numbers([0.9, 0.98], 0.0, 0.999999, most=2, least=2)
    epsilon: float = number(1e-8, 0.0, 1.0)


@component("optimizer", "adamw")
@dataclass(frozen=True)
class AdamWConfig(AdamConfig):
    name: str = "adamw"
    weight_decay: float = number(0.01, 0.0, 1.0)


@component("optimizer", "sgd")
@dataclass(frozen=True)
class SGDConfig:
    name: str = "sgd"
    learning_rate: float = number(1.0, 0.0, LARGEST)
    momentum: float = number(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class SchedulerConfig:
    name: str
    warmup_updates: int = number(0, 0, MOST)

    def ending(self, update: int | None) -> Self:
        """With the training's last update, where the schedule's end was left to that."""
        return self

    @property
    def horizon(self) -> int | None:
        """The update from which the rate is what it will be for ever; None: none."""
        return None


@component("scheduler", "constant")
@dataclass(frozen=True)
class ConstantConfig(SchedulerConfig):
    name: str = "constant"


@component("scheduler", "inverse_sqrt")
@dataclass(frozen=True)
class InverseSqrtConfig(SchedulerConfig):
    name: str = "inverse_sqrt"
    warmup_updates: int = number(4000, 1, MOST)


@component("scheduler", "cosine")
@dataclass(frozen=True)
class CosineConfig(SchedulerConfig):
    name: str = "cosine"
    decay_updates: int | Auto = number("auto", 1, MOST)
    final_ratio: float = number(0.0, 0.0, 1.0)

    def ending(self, update: int | None) -> Self:
        return self if update is None or self.decay_updates != "auto" else replace(self, decay_updates=update)

    @property
    def horizon(self) -> int | None:
        return None if isinstance(self.decay_updates, str) else self.decay_updates


@component("scheduler", "step")
@dataclass(frozen=True)
class StepConfig(SchedulerConfig):
    name: str = "step"
    start_updates: int = number(8000, 0, MOST)
    every_updates: int = number(1000, 1, MOST)
    factor: float = number(0.5, 0.0, 1.0)


@component("scheduler", "plateau")
@dataclass(frozen=True)
class PlateauConfig(SchedulerConfig):
    name: str = "plateau"
    factor: float = number(0.5, 0.0, 1.0)
    patience: int = number(0, 0, MOST)
    min_learning_rate: float = number(1e-5, 0.0, LARGEST)


@dataclass(frozen=True)
class TrainerConfig:
    max_epochs: int | None = number(30, 1, MOST)
    max_updates: int | None = number(None, 1, MOST)
    max_minutes: float | None = number(None, 0.0, MOST)
    batch_tokens: int | None = number(None, 1, MOST)
    batch_sentences: int | None = number(64, 1, MOST)
    accumulate: int = number(1, 1, MOST)
    validate_every: int | str = number("1 epoch", 1, MOST)
    save_every: int | str = number("1 epoch", 1, MOST)
    save_minutes: float = number(10.0, 0.0, MOST)
    keep_last: int = number(2, 1, MOST)
    keep_best: int = number(1, 1, MOST)
    best: Literal["loss", "perplexity", "bleu"] = "bleu"
    patience: int | None = number(5, 1, MOST)
    label_smoothing: float = number(0.1, 0.0, 0.95)
    average_decay: float = number(0.0, 0.0, 0.999999)
    clip_norm: float | None = number(1.0, 0.0, LARGEST)
    max_skipped: int = number(20, 1, MOST)
    log_every: int = number(50, 1, MOST)
    log_seconds: float = number(10.0, 0.1, MOST)
    translate_batch: int = number(64, 1, MOST)
    samples: int = number(3, 0, MOST)
    tensorboard: bool | Auto = "auto"


def interval(text: int | str) -> tuple[int | None, int | None]:
    """`validate_every` and `save_every` as (updates, epochs), one of which is None: `500` or `"1 epoch"`."""
    if isinstance(text, int):
        return text, None
    match = re.fullmatch(r"([1-9][0-9]{0,8}) epochs?", text.strip())
    if match is None:
        shown = show(text, quoted=True)
        raise ConfigError(f"{shown} is not an interval: use a number of updates such as 500, or '1 epoch'")
    return None, int(match[1])
