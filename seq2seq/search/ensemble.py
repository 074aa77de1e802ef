"""Several models as one: an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from seq2seq.grid import Grid
from seq2seq.search.protocol import Model, SearchState


class EnsembleState(NamedTuple):
    """The members' states, whose rows and sentences are the same."""

    members: tuple[SearchState, ...]

    def select(self, rows: Tensor, grid: Grid, sentences: Tensor | None = None) -> EnsembleState:
        return EnsembleState(tuple(member.select(rows, grid, sentences) for member in self.members))


class EnsembleStep(NamedTuple):
    """Logits (R, V), the mean attention weights (R, S) of the members that attend or None, and the state after it."""

    logits: Tensor
    weights: Tensor | None
    state: EnsembleState


class Ensemble:
    """A Model whose log-probabilities are the mean of its members', at each step normalised to a distribution again.

        log p(y_t | y_<t, x) = 1/N sum_n log p_n(y_t | y_<t, x) - log Z_t,   sum over y_t of p(y_t | y_<t, x) = 1

    p is the normalised geometric mean of the members' distributions: the logarithmic opinion pool, a product of experts
    (Hinton 2002) with equal exponents 1/N. What a member finds impossible is so for all. Because p is normalised,
    scores, samples and perplexities mean what they mean of one model; and because a member's log-probabilities are its
    logits less a number that all tokens share, which Z_t takes up, the logits' mean is all that is to be computed.

    Members are of any kind, with one vocabulary. A sentence's mean is over its own rows alone.
    """

    def __init__(self, members: Sequence[Model[Any]]) -> None:
        self.members = tuple(members)

    def start(self, source: Tensor, lengths: Tensor, bias: Tensor | None = None) -> EnsembleState:
        """bias (B, S) is added to the scores of each member that attends."""
        return EnsembleState(tuple(member.start(source, lengths, bias) for member in self.members))

    def step(self, tokens: Tensor, state: EnsembleState) -> EnsembleStep:
        steps = [member.step(tokens, own) for member, own in zip(self.members, state.members, strict=True)]
        return EnsembleStep(
            mean([step.logits for step in steps]),
            mean_weights([step.weights for step in steps]),
            EnsembleState(tuple(step.state for step in steps)),
        )


def together(models: Sequence[Model[Any]]) -> Model[Any]:
    """The ensemble of several models; one alone stays as it is."""
    return models[0] if len(models) == 1 else Ensemble(models)


def mean(tensors: Sequence[Tensor]) -> Tensor:
    """Of tensors of one shape, in any floating types: in float32."""
    total = tensors[0].float()
    for other in tensors[1:]:
        total = total + other
    return total / len(tensors)


def mean_weights(weights: Sequence[Tensor | None]) -> Tensor | None:
    """Of the members that attend; None where none does."""
    attended = [one for one in weights if one is not None]
    return mean(attended) if attended else None
