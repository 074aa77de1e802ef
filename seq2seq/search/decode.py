"""The loop over target steps, which beam search and sampling share."""

from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from seq2seq.grid import Grid
from seq2seq.search.constraints import Constraints
from seq2seq.search.history import Choice, Ended, History
from seq2seq.search.past import Past
from seq2seq.search.protocol import Model, NoTranslationError, State
from seq2seq.search.repetition import Repetition
from seq2seq.search.scoring import CoveragePenalty, LengthPenalty, build_length_penalty


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """What beam search and sampling have in common."""

    length_penalty: str = "average"  # none, average or gnmt: see scoring.py
    length_alpha: float = 1.0  # exponent of the length penalty
    coverage_penalty: float = 0.0  # beta of CoveragePenalty; 0: none
    min_length: int = 1  # fewest target tokens, EOS counted; 1 allows an empty one
    block_ngram: int = 0  # no n-gram of this size twice: see repetition.py; 0: off
    repetition_penalty: float = 1.0  # on tokens said before: see repetition.py; 1: none
    return_attention: bool = False

    def __post_init__(self) -> None:
        self.penalty()
        self.coverage()
        self.repetition()

    def penalty(self) -> LengthPenalty:
        return build_length_penalty(self.length_penalty, self.length_alpha)

    def coverage(self) -> CoveragePenalty:
        return CoveragePenalty(self.coverage_penalty)

    def repetition(self) -> Repetition:
        return Repetition(self.block_ngram, self.repetition_penalty)


class Beam(NamedTuple):
    """Where the search of each sentence stands."""

    totals: Tensor  # (B, K) of the live hypotheses; -inf in empty slots
    finished: Tensor  # (B, 1) how many hypotheses have ended
    best: Tensor  # (B, n_best) their best scores; -inf where there is none
    max_lengths: Tensor  # (B, 1)

    def keep(self, sentences: Tensor) -> Self:
        return type(self)(*(field[sentences] for field in self))


class Chooser(Protocol):
    """How the slots of a sentence are filled at a step: the difference between search and sampling."""

    @property
    def slots(self) -> int:
        """K."""
        ...

    @property
    def reorders(self) -> bool:
        """Whether a slot may continue the hypothesis of another slot."""
        ...

    @property
    def n_best(self) -> int:
        """How many hypotheses must be found: a sentence is searched until no live one can become one of them."""
        ...

    def first(self) -> list[float]:
        """Totals of a sentence's K slots before the first step."""
        ...

    def choose(self, log_probs: Tensor, beam: Beam, step: int, sentences: list[int], grid: Grid) -> Choice:
        """Fill the slots, from next-token log-probabilities (R, V) as all rules have left them, of the grid's rows."""
        ...


@torch.no_grad()
def decode(
    model: Model[State],
    source: Tensor,
    lengths: Tensor,
    constraints: Constraints,
    chooser: Chooser,
    options: DecodeOptions,
    bias: Tensor | None,
) -> list[list[Ended]]:
    """Translate source (B, S); the ended hypotheses of each sentence, in the order in which they ended.

    Nothing here mixes sentences, so a sentence's result doesn't depend on its company. A model's rows are the live
    hypotheses alone: a slot that is empty costs nothing. The memory of a sentence that is done stays until an eighth of
    the batch can be dropped: a drop copies that of all the others, and in this way it is copied a few times only. The
    device is waited for once a step, to learn which slots live.
    """
    if not len(source):
        return []
    history, penalty, eos, device = History(), options.penalty(), constraints.special.eos, source.device
    sentences = list(range(len(source)))  # the places in the batch of those whose memory is still there
    beam, past = _first_beam(source, constraints, chooser), _first_past(source, lengths, chooser, options)
    living = beam.totals.cpu() > -torch.inf  # (B, K)
    grid = Grid.where(living, device)
    state = model.start(source, lengths, bias).select(grid.owners(device), grid)
    tokens = torch.full((grid.size,), constraints.special.bos, device=device)  # (R,)

    for step in count():
        output = model.step(tokens, state)
        # Normalised over the whole vocabulary, before any rule: this is what forced scoring gives.
        log_probs = output.logits.log_softmax(-1, dtype=torch.float32)  # (R, V)
        said = None if past.tokens is None else grid.rows(past.tokens)
        allowed = constraints.apply(past.editable(log_probs), step, _owners(sentences, living), said)
        choice = chooser.choose(allowed, beam, step, sentences, grid)
        past = past.grow(choice, log_probs, output.weights, grid)

        ended = choice.tokens == eos
        scores = torch.where(ended, penalty.score(choice.totals, step + 1), -torch.inf)
        if past.coverage is not None:
            scores = scores + options.coverage().score(past.coverage)
        weights = output.weights if options.return_attention else None
        history.append(sentences, choice, past.own(choice), scores, None if weights is None else grid.spread(weights))
        beam = _after(step + 1, beam, torch.where(ended, -torch.inf, choice.totals), scores, penalty)

        living = beam.totals.cpu() > -torch.inf  # (B, K)
        going = living.any(dim=1)
        still = int(going.sum())
        if not still:
            break
        parents, kept = grid.numbers(device).gather(1, choice.parents), None
        if still <= 7 / 8 * len(sentences):
            kept = going.nonzero().squeeze(1)
            sentences, living = [sentences[row] for row in kept.tolist()], living[kept]
            kept = kept.to(device)
            beam, past, choice, parents = beam.keep(kept), past.keep(kept), choice.keep(kept), parents[kept]
        before, grid, state = grid.size, Grid.where(living, device), output.state
        tokens = grid.rows(choice.tokens)
        if chooser.reorders or grid.size < before or kept is not None:
            state = state.select(grid.rows(parents), grid, kept)
    return _whole(history.ended(lengths.tolist()))


def _owners(sentences: list[int], living: Tensor) -> list[int]:
    """Whose each row is (R), as places in the batch; `living` (B, K) on the CPU."""
    return [sentence for sentence, slots in zip(sentences, living.tolist(), strict=True) for lives in slots if lives]


def _first_beam(source: Tensor, constraints: Constraints, chooser: Chooser) -> Beam:
    size, device = len(source), source.device
    return Beam(
        totals=torch.tensor(chooser.first(), device=device).repeat(size, 1),
        finished=torch.zeros(size, 1, dtype=torch.long, device=device),
        best=torch.full((size, chooser.n_best), -torch.inf, device=device),
        max_lengths=torch.tensor(constraints.max_lengths, device=device)[:, None],
    )


def _first_past(source: Tensor, lengths: Tensor, chooser: Chooser, options: DecodeOptions) -> Past:
    repetition, coverage = options.repetition(), options.coverage()
    return Past.start(
        source,
        lengths,
        chooser.slots,
        tokens=repetition.remembers,
        log_probs=repetition.penalises,
        coverage=coverage.beta > 0,
    )


def _after(length: int, beam: Beam, live: Tensor, scores: Tensor, penalty: LengthPenalty) -> Beam:
    """The beam after a step that made hypotheses of `length` tokens; no totals are left of a sentence that is done.

    live (B, K) are the totals of those that go on, scores (B, K) those of the ended; -inf in all other slots.
    """
    best = torch.cat([beam.best, scores], dim=1).topk(beam.best.shape[1], dim=1).values
    # A sentence goes on while something that lives can still be among the n best; NaN compares false and ends it.
    bounds = penalty.bound(live, length, beam.max_lengths)  # (B, K), since a coverage penalty can only lower a score
    going = bounds.amax(dim=1, keepdim=True) > best[:, -1:]
    finished = beam.finished + (scores > -torch.inf).sum(dim=1, keepdim=True)
    return Beam(torch.where(going, live, -torch.inf), finished, best, beam.max_lengths)


def _whole(hypotheses: list[list[Ended]]) -> list[list[Ended]]:
    if not all(hypotheses):
        raise NoTranslationError(hypotheses.index([]))
    return hypotheses
