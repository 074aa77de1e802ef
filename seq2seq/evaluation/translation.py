"""What a translator gives back: translations, their hypotheses, and scored pairs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

EOS = "</s>"  # how the end of sentence is shown among pieces


@dataclass(frozen=True)
class Translation:
    """A line's translation: its best hypothesis, and all that were asked for, best first and unique by text."""

    source: str
    source_tokens: list[str]  # with EOS at the end
    hypotheses: list[Hypothesis]

    @property
    def text(self) -> str:
        return self.hypotheses[0].text

    @property
    def score(self) -> float:
        return self.hypotheses[0].score

    @property
    def log_prob(self) -> float:
        return self.hypotheses[0].log_prob

    @property
    def tokens(self) -> list[str]:
        return self.hypotheses[0].tokens

    @property
    def attention(self) -> Tensor | None:
        return self.hypotheses[0].attention


@dataclass(frozen=True)
class Hypothesis:
    """One translation of a line. Logarithms are natural, and EOS counts.

    score: what hypotheses are ranked by: the log-probability, each token's repetition penalty in it, normalised by
        length, and the coverage penalty; without these two, log_prob / length^alpha or the like.
    log_prob: the model's own, as `Translator.score` gives it.
    attention: (T, S) on the CPU, a row for each of `tokens` and a last one for EOS, a column for each of the
        translation's `source_tokens`; None when not asked for, or without attention.
    """

    text: str
    score: float
    log_prob: float
    tokens: list[str]
    attention: Tensor | None = None


@dataclass(frozen=True)
class ScoredPair:
    """The model's log-probability of a given translation: of each token and of EOS, and their sum."""

    log_prob: float
    token_log_probs: list[float]
    tokens: list[str]  # with EOS at the end
    source_tokens: list[str]
    attention: Tensor | None = None  # (T, S), as in Hypothesis
