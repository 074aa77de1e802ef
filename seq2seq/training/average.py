"""An exponential moving average of the weights, which is validated, saved and translated with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class MovingAverage:
    """a <- d a + (1 - d) w after every update (Polyak & Juditsky 1992, with weights that decay).

    d is `decay`, but at update t at most (1 + t) / (10 + t), so that the average soon forgets the weights that it began
    with (as TensorFlow's ExponentialMovingAverage has it). A decay of 0: there is no average, and nothing is done.
    Training itself goes on from the weights; buffers aren't averaged.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.updates = 0
        self.others = [weight.detach().clone() for weight in self._weights()]  # the average; the weights inside applied

    @torch.no_grad()
    def update(self) -> None:
        """After an update of the model's weights."""
        if self.others:
            self.updates += 1
            decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
            for average, weight in zip(self.others, self._weights(), strict=True):
                average.lerp_(weight, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model's weights are the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Any]:
        """Call it inside `applied`: the average is then the model's, and this holds the weights that training has."""
        return {"updates": self.updates, "weights": self.others}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """With the average in the model, as a checkpoint holds it."""
        self.updates = state["updates"]
        for weight, other, saved in zip(self._weights(), self.others, state["weights"], strict=True):
            other.copy_(weight)
            weight.copy_(saved)

    def _weights(self) -> list[Tensor]:
        return [weight.detach() for weight in self.model.parameters()] if self.decay > 0 else []

    def _swap(self) -> None:
        for weight, other in zip(self._weights(), self.others, strict=True):
            weight_before = weight.clone()
            weight.copy_(other)
            other.copy_(weight_before)
