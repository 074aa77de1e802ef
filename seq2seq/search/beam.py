"""Batched beam search with back-pointers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from seq2seq.grid import Grid
from seq2seq.search.constraints import Constraints
from seq2seq.search.decode import Beam, DecodeOptions, decode
from seq2seq.search.history import Choice, Hypothesis
from seq2seq.search.protocol import Model, SpecialIds, State
from seq2seq.search.ranking import best_continuations


@dataclass(frozen=True, kw_only=True)
class SearchOptions(DecodeOptions):
    """Options of beam_search."""

    beam_size: int = 5
    threshold: float = 0.0  # how far a hypothesis may fall behind the sentence's best one; 0: any way
    n_best: int = 1  # how many hypotheses are searched for in earnest

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_size < 1:
            raise ValueError(f"beam_size={self.beam_size} must be at least 1")
        if not self.threshold >= 0:
            raise ValueError(f"threshold={self.threshold} must be positive, or 0 to give up none")
        if not 1 <= self.n_best <= self.beam_size:
            raise ValueError(f"n_best={self.n_best} must be between 1 and beam_size ({self.beam_size})")


def beam_search(
    model: Model[State],
    source: Tensor,
    lengths: Tensor,
    max_lengths: Tensor,
    options: SearchOptions,
    special: SpecialIds,
    prefixes: Sequence[Sequence[int]] | None = None,
    bias: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """The best translations of each sentence by score, best first, up to beam_size and at least one.

    A score is the total log-probability normalised by length, plus the coverage penalty. The total is the model's own,
    log_prob, but for a repetition penalty, which counts in the total each time that it struck a chosen token.

    Finished hypotheses keep their slots of the beam: with F of them, the best beam_size - F candidates go on. So beam 1
    is greedy and stops at its first EOS. The search of a sentence is over when nothing lives, or when nothing that
    lives can reach the score of its n_best-th finished hypothesis; those beyond the first n_best are a by-product.

    With a `threshold`, what is chosen at a step but has a total that far below the best one's is given up, and its slot
    stays empty until a later step finds something for it (absolute threshold pruning, Freitag & Al-Onaizan 2017,
    section 3). The best one is never given up, so that there is always a translation, but there may be fewer of them.

    source (B, S) with lengths (B,); max_lengths (B,) counts target tokens with EOS, and is raised where a forced prefix
    needs more. See Constraints for the rules, which hold before any choice. bias (B, S) is added to the scores of
    attention.
    """
    constraints = Constraints(max_lengths, options.min_length, special, prefixes, options.repetition(), source.device)
    chooser = BeamChooser(options.beam_size, options.n_best, options.threshold)
    ended = decode(model, source, lengths, constraints, chooser, options, bias)
    hypotheses = [[hypothesis for _, hypothesis in sentence] for sentence in ended]
    # Sorting is stable: of equal scores, the hypothesis that ended first is the better one.
    return [sorted(sentence, key=lambda hypothesis: -hypothesis.score) for sentence in hypotheses]


class BeamChooser:
    """Fills the free slots with the best continuations of all live hypotheses of the sentence.

    One sentence, K = 3, at step 1, with the words a, b, c and "." (EOS). "a" and "b" live with totals -1 and -2; "."
    ended at step 0 and keeps a slot, so that K - F = 2 slots are free and the third total is -inf:

        slot   total      log-probabilities      totals of the continuations
                          a    b    c    .       a     b     c     .
        a      -1         -4   -3   -0.5 -1      -5    -4    -1.5  -2
        b      -2         -4   -2   -5   -0.2    -6    -4    -7    -2.2
        (none) -inf       -    -    -    -       -inf  -inf  -inf  -inf

    The best K are -1.5 ("a c"), -2 ("a .") and -2.2 ("b ."), of which two are taken: "a c" lives on and "a ." ends. In
    brackets what stands in the empty slot, and is never read:

        totals    -1.5  -2  -inf        tokens  c  .  (.)        parents  0  0  (1)

    Two hypotheses have ended now, so the next step fills one slot.
    """

    def __init__(self, beam_size: int, n_best: int, threshold: float) -> None:
        self.slots = beam_size
        self.n_best = n_best
        self.threshold = threshold
        self.reorders = beam_size > 1

    def first(self) -> list[float]:
        """All slots would be alike before the first step, so one alone is filled."""
        return [0.0] + [-torch.inf] * (self.slots - 1)

    def choose(self, log_probs: Tensor, beam: Beam, step: int, sentences: list[int], grid: Grid) -> Choice:
        totals, parents, tokens = best_continuations(beam.totals, log_probs, grid, self.slots)  # (B, K) each
        taken = beam.finished > _from_the_end(self.slots, totals.device)  # (B, K)
        if self.threshold > 0:
            taken = taken | (totals < totals[:, :1] - self.threshold)  # the first is the best, and has a slot
        return Choice(torch.where(taken, -torch.inf, totals), tokens, parents)


@lru_cache(maxsize=8)  # the same at every step
def _from_the_end(slots: int, device: torch.device) -> Tensor:
    """K - 1, ..., 0: how many slots are behind each."""
    return torch.arange(slots - 1, -1, -1, device=device)
