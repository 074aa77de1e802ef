"""All that the search knows of a model: it starts on a source batch and makes one step.

A sentence has K decoder rows, R = B*K in all, those of sentence i at i*K .. i*K + K - 1. What belongs to the source is
held once a sentence and is neither tiled to rows nor reordered.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self, TypeVar

from torch import Tensor


class NoTranslationError(ValueError):
    """Nothing can be chosen for a sentence: the model's logits are NaN, or -inf wherever a token is allowed."""

    def __init__(self, sentence: int) -> None:
        super().__init__(
            f"no translation of sentence {sentence} of the batch: the model's logits are NaN, or -inf wherever a "
            "token is allowed"
        )
        self.sentence = sentence


class SearchState(Protocol):
    """Decoder rows and source memory between two steps: a value, so both methods return a new one."""

    def select(self, rows: Tensor) -> Self:
        """Put row rows[r] (R,) in place r; the memory stays as it is."""
        ...

    def keep(self, sentences: Tensor) -> Self:
        """Keep only these sentences (B',), in this order: their memory and their K rows each."""
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

    def start(self, source: Tensor, lengths: Tensor, beams: int, bias: Tensor | None = None) -> State:
        """Encode source (B, S) with its lengths (B,) for `beams` decoder rows a sentence.

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
