"""Reading own predictions in place of the reference, at times."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seq2seq.data.batch import Batch
from seq2seq.models.precision import wide
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.training.loss import Loss, batch_loss, block_sizes
from seq2seq.training.objectives.cross_entropy import covered

Picker = Callable[[Tensor, nn.Linear], Tensor]


class ScheduledSampling:
    """Scheduled sampling per token (Bengio et al. 2015), in two passes over all steps at once.

    The first pass, without gradient, predicts every target token given the reference before it; the second reads, at
    each step and by `probability`, that prediction or the reference's token, and learns to give the reference's next
    one (Mihaylova & Martins 2019, "Scheduled Sampling for Transformers"; Duckworth et al. 2019, "Parallel Scheduled
    Sampling", with one pass of sampling). Bengio et al. go step by step, so that a prediction follows earlier ones:
    here it follows the reference, and fused kernels run over all steps. BOS and padding are never replaced. Dropout is
    on in both passes. Where the probability is 0, there is no first pass.
    """

    meaning = "cross entropy of the references where some of the tokens read are predictions; so is perplexity"

    def __init__(
        self, label_smoothing: float, coverage_weight: float, probability: Callable[[int], float], pick: Picker
    ) -> None:
        """`probability` of an update's number; `pick`s tokens (N,) by features (N, F) and the output layer."""
        self.label_smoothing, self.coverage_weight = label_smoothing, coverage_weight
        self.probability, self.pick = probability, pick

    def __call__(self, model: Seq2Seq, batch: Batch, update: int) -> Loss:
        probability = self.probability(update)
        if probability > 0:
            batch = batch._replace(target_input=self._mixed(model, batch, probability))
        loss, weights = batch_loss(model, batch, self.label_smoothing)
        return covered(loss, weights, batch.target_mask, self.coverage_weight)

    @torch.no_grad()
    def _mixed(self, model: Seq2Seq, batch: Batch, probability: float) -> Tensor:
        """The batch's target_input (B, T) with predictions in the place of some tokens."""
        mask = batch.target_mask
        features = model(batch.source, batch.source_lengths, batch.target_input, mask).features
        predicted = batch.target_output.masked_scatter(mask, self.pick(features, model.output))  # (B, T)
        torch.clear_autocast_cache()  # it holds weights that were cast without gradient
        replaced = (torch.rand(mask.shape, device=mask.device) < probability) & mask
        replaced[:, 0] = False  # BOS
        return torch.where(replaced, predicted.roll(1, dims=1), batch.target_input)


# schedule=NAME -> the share of the reference's tokens that are still read after i updates, one half after h of them:
# epsilon_i in Bengio et al. (2015), section 2.4
SCHEDULES: dict[str, Callable[[int, float], float]] = {
    "linear": lambda i, h: max(0.0, 1 - i / (2 * h)),
    "exponential": lambda i, h: 0.5 ** (i / h),  # k^i
    "inverse_sigmoid": lambda i, h: 1 / (1 + math.exp(min(700.0, i / _constant(h))) / _constant(h)),  # k/(k + exp(i/k))
}


def increasing(final: float, schedule: str, half_updates: int) -> Callable[[int], float]:
    """The probability by update: final * (1 - epsilon_i), with final = 1 that of Bengio et al."""
    share = SCHEDULES[schedule]
    return lambda update: final * (1 - share(update, half_updates))


def _constant(half: float) -> float:
    """k with k log k = half, where k/(k + exp(i/k)) is one half at i = half: Newton's way to log k."""
    log_k = math.log(1 + half)
    for _ in range(20):
        log_k -= (log_k - half * math.exp(-log_k)) / (1 + log_k)
    return math.exp(log_k)


def likeliest(features: Tensor, output: nn.Linear) -> Tensor:
    """The token with the largest logit for each of the features (N, F), of which a block at a time has logits."""
    block, _ = block_sizes(len(features), output.weight)
    return torch.cat([output(some).max(1).indices for some in torch.split(features, block)])  # bf16's argmax is slow


def sampled(features: Tensor, output: nn.Linear) -> Tensor:
    """A token drawn from the softmax for each of the features (N, F), of which a block at a time has logits."""
    block, _ = block_sizes(len(features), output.weight)
    uniforms = torch.rand(len(features), 1, device=features.device)
    return torch.cat(
        [
            _invert(output(some), points)
            for some, points in zip(torch.split(features, block), torch.split(uniforms, block), strict=True)
        ]
    )


def _invert(logits: Tensor, uniforms: Tensor) -> Tensor:
    """The tokens (n,) at which the cumulative distributions of logits (n, V) pass the uniform numbers (n, 1)."""
    cumulative = logits.softmax(1, dtype=wide(logits.dtype)).cumsum(1)
    places = torch.searchsorted(cumulative, uniforms * cumulative[:, -1:], right=True)
    return places.squeeze(1).clamp(max=logits.shape[1] - 1)


# predictions=NAME -> how tokens are picked
PICKERS: dict[str, Picker] = {"argmax": likeliest, "sampled": sampled}
