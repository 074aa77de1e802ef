"""Teacher forcing."""

from __future__ import annotations

from torch import Tensor

from seq2seq.data.batch import Batch
from seq2seq.models.coverage import coverage_loss
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.training.loss import Loss, batch_loss


class CrossEntropy:
    """Of the reference given what comes before it in the reference, smoothed (Szegedy et al. 2016, section 7)."""

    meaning = None

    def __init__(self, label_smoothing: float, coverage_weight: float) -> None:
        self.label_smoothing, self.coverage_weight = label_smoothing, coverage_weight

    def __call__(self, model: Seq2Seq, batch: Batch, update: int) -> Loss:
        loss, weights = batch_loss(model, batch, self.label_smoothing)
        return covered(loss, weights, batch.target_mask, self.coverage_weight)


def covered(loss: Loss, weights: Tensor | None, target_mask: Tensor, weight: float) -> Loss:
    """`loss` with `weight` times the coverage loss of the attention weights (B, T, S) added to it."""
    if weight == 0:
        return loss
    assert weights is not None
    return loss._replace(trained=loss.trained + weight * coverage_loss(weights, target_mask))
