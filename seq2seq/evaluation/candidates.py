"""All hypotheses that beam searches ended with, to be ranked again and again without another search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seq2seq.evaluation.source import Source, one_line
from seq2seq.evaluation.translator import Translator
from seq2seq.search.history import Hypothesis
from seq2seq.search.scoring import CoveragePenalty, build_length_penalty


class Penalties(NamedTuple):
    """What ranks hypotheses, named as in SearchConfig."""

    length_penalty: str
    length_alpha: float
    coverage_penalty: float


class Candidates:
    """What one beam size gives for each line under any length and coverage penalty, from a single search.

    Which hypotheses live and end is a matter of their summed log-probabilities alone. The penalties rank the ended
    ones, and tell when nothing better can come, so that the search may stop early: at its best hypothesis, the same
    that it would have come to at last (tests/unit/search/test_beam.py). Here the search goes on until nothing lives,
    and what has ended is ranked by the penalties' own code, in float32, of equals the one that ended first. The choice
    is that of a search with these penalties; in precision=bf16, where a line depends on its company, up to that.
    """

    def __init__(self, texts: list[list[str]], totals: Tensor, lengths: Tensor, coverages: Tensor) -> None:
        """Of N lines with C candidates or fewer: totals and coverages (N, C), -inf and 0 where there is none; lengths.

        A coverage is the penalty's at beta = 1; a line's candidates stand in the order in which they ended.
        """
        self.texts, self.totals, self.lengths, self.coverages = texts, totals, lengths, coverages

    @classmethod
    def search(
        cls, translator: Translator, sources: Sequence[Source], beam_size: int, batch_size: int, coverage: bool
    ) -> Self:
        """By the translator's search, but for beam size and penalties; with `coverage`, for coverage penalties too.

        `sources` are lines as the translator's `read` gives them.
        """
        searching = translator.with_search(
            {"beam_size": beam_size, "n_best": beam_size, **Penalties("none", 1.0, 0.0)._asdict()}
        )
        decode = searching.tokenizers.target.decode
        ended = [[Ended("", 0.0, 1, 0.0)] for _ in sources]
        for i, found in searching.found(sources, batch_size=batch_size, attention=coverage, progress=True):
            # Of those that ended at one step, the one with the larger total stood first; sorting is stable.
            ended[i] = sorted(
                (
                    Ended(one_line(decode(one.tokens)), one.score, len(one.tokens) + 1, _unread(one, coverage))
                    for one in found
                ),
                key=lambda one: one.length,
            )
        return cls(
            [[one.text for one in of_line] for of_line in ended],
            _padded([[one.total for one in of_line] for of_line in ended], -torch.inf),
            _padded([[one.length for one in of_line] for of_line in ended], 1).long(),
            _padded([[one.unread for one in of_line] for of_line in ended], 0.0),
        )

    def best(self, penalties: Penalties) -> list[str]:
        """The translation of each line."""
        penalty = build_length_penalty(penalties.length_penalty, penalties.length_alpha)
        scores = torch.full_like(self.totals, -torch.inf)
        for length in sorted(set(self.lengths.flatten().tolist())):  # numbers, as in the search: powers of float64
            scores = torch.where(self.lengths == length, penalty.score(self.totals, length), scores)
        if penalties.coverage_penalty > 0:
            scores = scores + penalties.coverage_penalty * self.coverages
        places = scores.max(dim=1).indices.tolist()  # of equal ones the first
        return [texts[place] for texts, place in zip(self.texts, places, strict=True)]


class Ended(NamedTuple):
    """A hypothesis: its summed log-probabilities with any repetition penalty, its length with EOS, its coverage."""

    text: str
    total: float
    length: int
    unread: float


def _unread(hypothesis: Hypothesis, coverage: bool) -> float:
    if not coverage or hypothesis.weights is None:
        return 0.0
    return float(CoveragePenalty(1.0).score(hypothesis.weights.sum(dim=0)))


def _padded(numbers: list[list[float]], filling: float) -> Tensor:
    """(N, C) in float32."""
    return pad_sequence([torch.tensor(row, dtype=torch.float32) for row in numbers], True, filling)
