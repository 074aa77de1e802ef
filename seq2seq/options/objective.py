"""Options of the training objectives: what the updates minimise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seq2seq.options.base import number
from seq2seq.schema import component


@dataclass(frozen=True)
class ObjectiveConfig:
    """What every objective has: its name, and whether it can be begun with."""

    name: str

    def faults(self, init: str | None, coverage_loss: float) -> list[str]:
        """What it can't go together with, each with a way out."""
        return []


@component("objective", "cross_entropy")
@dataclass(frozen=True)
class CrossEntropyConfig(ObjectiveConfig):
    name: str = "cross_entropy"


@component("objective", "r_drop")
@dataclass(frozen=True)
class RDropConfig(ObjectiveConfig):
    name: str = "r_drop"
    alpha: float = number(5.0, 0.0, 1000.0)


@component("objective", "scheduled_sampling")
@dataclass(frozen=True)
class ScheduledSamplingConfig(ObjectiveConfig):
    name: str = "scheduled_sampling"
    probability: float = number(0.25, 0.0, 1.0)
    schedule: Literal["linear", "exponential", "inverse_sigmoid"] = "inverse_sigmoid"
    half_updates: int = number(2000, 1, 1_000_000_000)
    predictions: Literal["argmax", "sampled"] = "argmax"


@component("objective", "minimum_risk")
@dataclass(frozen=True)
class MinimumRiskConfig(ObjectiveConfig):
    name: str = "minimum_risk"
    samples: int = number(20, 1, 10_000)
    alpha: float = number(0.005, 0.0, 1000.0)
    reference: bool = True
    cross_entropy_weight: float = number(0.0, 0.0, 1000.0)

    def faults(self, init: str | None, coverage_loss: float) -> list[str]:
        faults = []
        if init is None:
            faults.append(
                "objective=minimum_risk goes on with a trained model, whose samples it compares; set init=RUN, or "
                "objective=cross_entropy first"
            )
        if coverage_loss:
            faults.append(
                f"attention.coverage_loss={coverage_loss} is of the references' attention, but objective=minimum_risk "
                "learns from samples; set attention.coverage_loss=0"
            )
        return faults
