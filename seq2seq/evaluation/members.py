"""The trained models that translate together: one, or the members of an ensemble."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from seq2seq.data.batch import Batch
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.search.ensemble import mean, mean_weights, together
from seq2seq.search.protocol import Model
from seq2seq.search.shortlist import Shortlist


class Members:
    """Models of one vocabulary, asked together."""

    def __init__(self, models: Sequence[Seq2Seq]) -> None:
        self.models = list(models)

    @property
    def attends(self) -> bool:
        """Whether any has attention: the ensemble's weights are the mean of those that have."""
        return any(model.attends for model in self.models)

    @property
    def longest_source(self) -> int | None:
        """The most source pieces, EOS counted, that all of them can read; None: any number."""
        return _least(model.longest_source for model in self.models)

    @property
    def longest_target(self) -> int | None:
        """The same of the target pieces that they can write."""
        return _least(model.longest_target for model in self.models)

    def eval(self) -> None:
        for model in self.models:
            if model.training:  # else each part of it would be told again, for every batch
                model.eval()

    def searched(self) -> Model[Any]:
        """What the search asks."""
        return together(self.models)

    def shortlisted(self, shortlist: Shortlist, device: torch.device) -> Model[Any]:
        """The same over the numbers of a shortlist."""
        return together([shortlist.of(model, device) for model in self.models])

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Teacher-forced logits (N, V) of a batch's real target tokens, and the attention weights (B, T, S)."""
        if len(self.models) == 1:
            return predict(self.models[0], batch)
        logits, weights = zip(*(predict(model, batch) for model in self.models), strict=True)
        return mean(logits), mean_weights(weights)


def predict(model: Seq2Seq, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Of one model."""
    features, weights = model(batch.source, batch.source_lengths, batch.target_input, batch.target_mask)
    return model.output(features), weights


def _least(numbers: Iterable[int | None]) -> int | None:
    return min((number for number in numbers if number is not None), default=None)
