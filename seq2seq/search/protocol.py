"""All that the search knows of a model: it starts on a source batch and makes one step.

A sentence has K slots for hypotheses, and a model computes a decoder row for each that lives: R of them among the B*K
slots, as a `Grid` says. What belongs to the source is held once a sentence and is neither tiled to rows nor reordered.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self, TypeVar

from torch import Tensor

from seq2seq.grid import Grid


class NoTranslationError(ValueError):
    """Nothing can be chosen for a sentence: the model's logits are NaN, or -inf wherever a token is allowed."""

    def __init__(self, sentence: int) -> None:
        super().__init__(
            f"no translation of sentence {sentence} of the batch: the model's logits are NaN, or -inf wherever a "
            "token is allowed"
        )
        self.sentence = sentence


class SearchState(Protocol):
    """Decoder rows and source memory between two steps: a value, which `select` makes a new one of."""

    def select(self, rows: Tensor, grid: Grid, sentences: Tensor | None = None) -> Self:
        """For the next step: row r goes on from row rows[r] (R',), and stands where its `grid` says.

        Of the memory only that of these sentences (B',) stays, in this order, which are those of the grid; None: all.
        """
        ...


State = TypeVar("State", bound=SearchState)
StateOut = TypeVar("StateOut", bound=SearchState, covariant=True)


class Step(Protocol[StateOut]):
    """What a step gives; any NamedTuple with these fields will do."""

    @property
    def logits(self) -> Tensor: ...  # (R, V), in any floating type

    @property
    def weights(self) -> Tensor | None: ...  # (R, S), or None from a model without attention

    @property
    def state(self) -> StateOut: ...


class Model(Protocol[State]):
    """A translation model, or several in one: an ensemble is a Model that averages its members' log-probabilities."""

    def start(self, source: Tensor, lengths: Tensor, bias: Tensor | None = None) -> State:
        """Encode source (B, S) with its lengths (B,): a decoder row a sentence, from which `select` makes others.

        bias (B, S) is added to the scores of attention, at every step and in every row of the sentence.
        """
        ...

    def step(self, tokens: Tensor, state: State) -> Step[State]:
        """Read the last token of each row (R,)."""
        ...


class SpecialIds(NamedTuple):
    """Ids that the search treats differently from words."""

    bos: int
    eos: int
    suppressed: Sequence[int]  # never generated: pad, bos, unk
