"""Options of the optimizers, the schedules and the trainer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from seq2seq.errors import ConfigError
from seq2seq.options.base import Auto, number
from seq2seq.schema import component


@component("optimizer", "adam")
@dataclass(frozen=True)
class AdamConfig:
    name: str = "adam"
    learning_rate: float = number(2e-3, 0.0)
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    epsilon: float = number(1e-8, 0.0)


@component("optimizer", "adamw")
@dataclass(frozen=True)
class AdamWConfig(AdamConfig):
    name: str = "adamw"
    weight_decay: float = number(0.01, 0.0)


@component("optimizer", "sgd")
@dataclass(frozen=True)
class SGDConfig:
    name: str = "sgd"
    learning_rate: float = number(1.0, 0.0)
    momentum: float = number(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class SchedulerConfig:
    name: str
    warmup_updates: int = number(0, 0)


@component("scheduler", "constant")
@dataclass(frozen=True)
class ConstantConfig(SchedulerConfig):
    name: str = "constant"


@component("scheduler", "inverse_sqrt")
@dataclass(frozen=True)
class InverseSqrtConfig(SchedulerConfig):
    name: str = "inverse_sqrt"
    warmup_updates: int = number(4000, 1)


@component("scheduler", "cosine")
@dataclass(frozen=True)
class CosineConfig(SchedulerConfig):
    name: str = "cosine"
    decay_updates: int | Auto = number("auto", 1)
    final_ratio: float = number(0.0, 0.0, 1.0)


@component("scheduler", "plateau")
@dataclass(frozen=True)
class PlateauConfig(SchedulerConfig):
    name: str = "plateau"
    factor: float = number(0.5, 0.0, 1.0)
    patience: int = number(0, 0)
    min_learning_rate: float = number(1e-5, 0.0)


@dataclass(frozen=True)
class TrainerConfig:
    max_epochs: int | None = number(30, 1)
    max_updates: int | None = number(None, 1)
    max_minutes: float | None = number(None, 0.0)
    batch_tokens: int | None = number(None, 1)
    batch_sentences: int | None = number(64, 1)
    accumulate: int = number(1, 1)
    validate_every: int | str = number("1 epoch", 1)
    save_every: int | str = number("1 epoch", 1)
    keep_last: int = number(1, 1)
    best: Literal["loss", "perplexity", "bleu"] = "bleu"
    patience: int | None = number(5, 1)
    label_smoothing: float = number(0.1, 0.0, 0.95)
    clip_norm: float | None = number(1.0, 0.0)
    log_seconds: float = number(10.0, 0.1)
    translate_batch: int = number(64, 1)
    samples: int = number(3, 0)


def interval(text: int | str) -> tuple[int | None, int | None]:
    """`validate_every` and `save_every` as (updates, epochs), one of which is None: `500` or `"1 epoch"`."""
    if isinstance(text, int):
        return text, None
    match = re.fullmatch(r"([1-9]\d*) epochs?", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not an interval: use a number of updates such as 500, or '1 epoch'")
    return None, int(match[1])
