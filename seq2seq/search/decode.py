"""The loop over target steps, which beam search and sampling share."""

from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from seq2seq.search.constraints import Constraints
from seq2seq.search.history import Choice, Ended, History
from seq2seq.search.protocol import Model, State
from seq2seq.search.scoring import LengthPenalty, build_length_penalty


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """What beam search and sampling have in common."""

    length_penalty: str = "average"  # none, average or gnmt: see scoring.py
    length_alpha: float = 1.0  # exponent of the length penalty
    min_length: int = 1  # fewest target tokens, EOS counted; 1 allows an empty one
    return_attention: bool = False

    def __post_init__(self) -> None:
        self.penalty()

    def penalty(self) -> LengthPenalty:
        return build_length_penalty(self.length_penalty, self.length_alpha)


class Beam(NamedTuple):
    """Where the search of each sentence stands."""

    log_probs: Tensor  # (B, K) of the live hypotheses; -inf in empty slots
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
        """Log-probabilities of a sentence's K slots before the first step."""
        ...

    def choose(self, log_probs: Tensor, beam: Beam, step: int, sentences: list[int]) -> Choice:
        """Fill the slots, from next-token log-probabilities (B, K, V) to which all rules have been applied."""
        ...


@torch.no_grad()
def decode(
    model: Model[State],
    source: Tensor,
    lengths: Tensor,
    constraints: Constraints,
    chooser: Chooser,
    options: DecodeOptions,
) -> list[list[Ended]]:
    """Translate source (B, S); the ended hypotheses of each sentence, in the order in which they ended.

    Nothing here mixes sentences, so a sentence's result doesn't depend on its company. The device is waited for once a
    step, to learn which sentences are done. These stop at once, but their rows run on, empty, until an eighth of the
    batch can be dropped: a drop copies the memory of all the others, and in this way it is copied a few times only.
    """
    if not len(source):
        return []
    history, penalty, eos = History(), options.penalty(), constraints.special.eos
    sentences = list(range(len(source)))  # the places in the batch of those that still have rows
    beam = _first_beam(source, constraints, chooser)
    tokens = torch.full_like(beam.log_probs, constraints.special.bos, dtype=torch.long)  # (B, K)
    state = model.start(source, lengths, chooser.slots)

    for step in count():
        output = model.step(tokens.flatten(), state)
        # Normalised over the whole vocabulary, before any rule: this is what forced scoring gives.
        log_probs = output.logits.log_softmax(-1, dtype=torch.float32).view(*tokens.shape, -1)  # (B, K, V)
        choice = chooser.choose(constraints.apply(log_probs, step, sentences), beam, step, sentences)

        ended = choice.tokens == eos
        scores = penalty.score(choice.log_probs, step + 1).masked_fill(~ended, -torch.inf)
        history.append(sentences, choice, scores, output.weights if options.return_attention else None)
        live = choice.log_probs.masked_fill(ended, -torch.inf)
        best = torch.cat([beam.best, scores], dim=1).topk(chooser.n_best, dim=1).values

        # A sentence goes on while something that lives can still be among the n best; NaN compares false and ends it.
        bounds = penalty.bound(live, step + 1, beam.max_lengths)  # (B, K)
        done = ~(bounds.amax(dim=1) > best[:, -1])  # (B)
        finished = beam.finished + (scores > -torch.inf).sum(dim=1, keepdim=True)
        beam = Beam(live.masked_fill(done[:, None], -torch.inf), finished, best, beam.max_lengths)

        going = [row for row, is_done in enumerate(done.tolist()) if not is_done]
        if not going:
            break
        state = output.state
        if len(going) <= 7 / 8 * len(sentences):
            kept = torch.tensor(going, device=source.device)
            state, beam, choice = state.keep(kept), beam.keep(kept), choice.keep(kept)
            sentences = [sentences[row] for row in going]
        if chooser.reorders:
            state = state.select(_rows(choice.parents))
        tokens = choice.tokens

    hypotheses = history.ended(lengths.tolist())
    if not all(hypotheses):
        sentence = hypotheses.index([])
        raise ValueError(
            f"no translation of sentence {sentence} of the batch: the model's logits are NaN, or -inf wherever a token "
            "is allowed"
        )
    return hypotheses


def _first_beam(source: Tensor, constraints: Constraints, chooser: Chooser) -> Beam:
    size, device = len(source), source.device
    return Beam(
        log_probs=torch.tensor(chooser.first(), device=device).repeat(size, 1),
        finished=torch.zeros(size, 1, dtype=torch.long, device=device),
        best=torch.full((size, chooser.n_best), -torch.inf, device=device),
        max_lengths=torch.tensor(constraints.max_lengths, device=device)[:, None],
    )


def _rows(parents: Tensor) -> Tensor:
    """Slots within each sentence (B, K) as decoder rows (R,)."""
    firsts = torch.arange(0, parents.numel(), parents.shape[1], device=parents.device)
    return (firsts[:, None] + parents).flatten()
