"""Scores by which hypotheses of different lengths are compared. A length counts EOS everywhere in the search."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

LEAST_COVERAGE = 1e-6


@dataclass(frozen=True)
class LengthPenalty(ABC):
    """score = log_prob / divisor(length), where length counts EOS; a larger alpha favours longer hypotheses."""

    alpha: float

    @abstractmethod
    def divisor(self, length: Tensor | int) -> Tensor | float:
        """The positive number, monotone in length, by which log_prob is divided."""

    def score(self, log_prob: Tensor, length: Tensor | int) -> Tensor:
        """Normalised score of an ended hypothesis; log_prob and length both include EOS."""
        return log_prob / self.divisor(length)

    def bound(self, log_prob: Tensor, length: Tensor | int, max_length: Tensor | int) -> Tensor:
        """Best score that a live hypothesis of `length` tokens, EOS yet to come, can reach with at most max_length.

        It ends with length + 1 to max_length tokens, and its log_prob can only fall: the best it may hope for is to
        keep it. The divisor is monotone, so the best length is one of the two ends (the far one if alpha > 0).
        """
        return torch.maximum(self.score(log_prob, length + 1), self.score(log_prob, max_length))


class NoPenalty(LengthPenalty):
    """score = log_prob, whatever alpha; favours short hypotheses."""

    def divisor(self, length: Tensor | int) -> float:
        return 1.0


class AveragePenalty(LengthPenalty):
    """score = log_prob / length^alpha; at alpha = 1 the mean log-probability of a token, EOS counted as one."""

    def divisor(self, length: Tensor | int) -> Tensor | float:
        return length if self.alpha == 1 else length**self.alpha


class GNMTPenalty(LengthPenalty):
    """score = log_prob / ((5 + length)^alpha / (5 + 1)^alpha), Wu et al. (2016), equation 14; length counts EOS."""

    def divisor(self, length: Tensor | int) -> Tensor | float:
        return ((5 + length) / 6) ** self.alpha


@dataclass(frozen=True)
class CoveragePenalty:
    """cp = beta * sum_i log(min(sum_j p_ij, 1)), Wu et al. (2016), equation 14: what an ended hypothesis left unread.

    p_ij is the attention of target token j on source token i, EOS among both. cp is 0 where every source token got the
    attention of a whole target token, and below 0 elsewhere, so that LengthPenalty.bound stays a bound. The sum over j
    is taken as 10^-6 at least: a token that got nothing at all costs beta * 13.8.
    """

    beta: float

    def __post_init__(self) -> None:
        if not 0 <= self.beta < float("inf"):
            raise ValueError(f"coverage_penalty={self.beta} must be positive, or 0 for none")

    def score(self, coverage: Tensor) -> Tensor:
        """coverage (..., S), at least 1 at padding, to cp (...,)."""
        return self.beta * coverage.clamp(LEAST_COVERAGE, 1).log().sum(dim=-1)


LENGTH_PENALTIES: Mapping[str, type[LengthPenalty]] = MappingProxyType(
    {"none": NoPenalty, "average": AveragePenalty, "gnmt": GNMTPenalty}
)


def build_length_penalty(name: str, alpha: float) -> LengthPenalty:
    """The penalty of this name."""
    if name not in LENGTH_PENALTIES:
        raise ValueError(f"length_penalty={name} is unknown; choose one of {', '.join(LENGTH_PENALTIES)}")
    return LENGTH_PENALTIES[name](alpha)
