"""Two passes with different dropout that must agree."""

from __future__ import annotations

import torch

from seq2seq.data.batch import Batch
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.training.loss import Loss, pair_loss
from seq2seq.training.objectives.cross_entropy import covered


class RDrop:
    """R-Drop (Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", section 2), halved.

    Each target token is predicted twice, as p and as q, by passes that differ in dropout alone. The paper sums both
    negative log-likelihoods and adds alpha times the mean of the two divergences; the authors' fairseq code divides
    that by the real tokens of one copy. Here it is half of it:

        (CE(p, y) + CE(q, y)) / 2 + alpha / 2 * (KL(p || q) + KL(q || p)) / 2

    a real target token, CE smoothed by trainer.label_smoothing. So alpha is the paper's, and where the two agree the
    loss is plain cross entropy, with which it shares its scale (that of trainer.clip_norm). The passes are one of 2B
    rows. Perplexity is that of the references, the mean of both passes.
    """

    def __init__(self, label_smoothing: float, coverage_weight: float, alpha: float) -> None:
        self.label_smoothing, self.coverage_weight, self.alpha = label_smoothing, coverage_weight, alpha

    @property
    def meaning(self) -> str:
        return f"cross entropy, mean of two passes, + {self.alpha / 2:g} * their divergence"

    def __call__(self, model: Seq2Seq, batch: Batch, update: int) -> Loss:
        mask, twice = batch.target_mask, _twice(batch)
        features, weights = model(twice.source, twice.source_lengths, twice.target_input, twice.target_mask)
        pair = features.view(2, -1, features.shape[1])  # (2, N, F)
        loss = pair_loss(pair, model.output, batch.target_output[mask], self.label_smoothing, self.alpha)
        return covered(loss, weights, twice.target_mask, self.coverage_weight / 2)


def _twice(batch: Batch) -> Batch:
    """All rows, and then all again."""
    return Batch(*(torch.cat([field, field]) for field in batch))
