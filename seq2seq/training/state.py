"""Where a training is: what it has counted, and what its random generators will give next."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import torch

from seq2seq.runtime import Runtime


@dataclass
class Counters:
    """How far the training is: with weights, optimizer and random states, all that it depends on."""

    update: int = 0
    epoch: int = 0  # whole epochs done
    batch: int = 0  # batches done in the present epoch
    target_tokens: int = 0
    seconds: float = 0.0  # spent on updates, without validations and checkpoints
    wall_seconds: float = 0.0  # since the first update, without the time between an interruption and its resumption
    validated: int = 0  # the update of the last validation
    validations_without_better: int = 0
    rank: float | None = None  # of the last validation
    scores: dict[str, float] = field(default_factory=dict)
    best_rank: float | None = None


def random_state(runtime: Runtime) -> dict[str, Any]:
    """Of the generators that training draws from, and of Python's, which components of a user's own may."""
    version, words, gauss = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
    }
    if runtime.device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    if runtime.device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(runtime.device)
    return states


def set_random_state(states: dict[str, Any], runtime: Runtime) -> None:
    torch.set_rng_state(states["torch"])
    python = states["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    if runtime.device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
    if runtime.device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], runtime.device)
