"""What the search remembers: back-pointers while it runs, read out once as hypotheses when it is over."""

from itertools import accumulate
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Hypothesis(NamedTuple):
    """An ended translation."""

    tokens: list[int]  # without EOS
    log_prob: float  # the model's own, as forced scoring gives it: natural logarithm, EOS included
    score: float  # by which hypotheses are ranked; without repetition and coverage penalties log_prob / divisor(length)
    weights: Tensor | None  # (tokens and EOS, the sentence's own source length), on CPU


class Choice(NamedTuple):
    """What fills the K slots of each sentence after a step; all (B, K)."""

    totals: Tensor  # summed log-probabilities of the hypothesis, as the rules left them; -inf where the slot is empty
    tokens: Tensor  # its newest token
    parents: Tensor  # the slot of the hypothesis that it continues

    def keep(self, sentences: Tensor) -> Self:
        return type(self)(*(field[sentences] for field in self))


class Ended(NamedTuple):
    """A hypothesis, and the slot that it ended in."""

    slot: int
    hypothesis: Hypothesis


class History:
    """Tokens and parents of each step, on the model's device; no sequence is ever copied during the search.

    Sentences leave the batch as they finish, so each step notes which sentences its rows are. Parents are slots within
    a sentence, and a hypothesis is found by walking back over them from the slot where it ended.
    """

    def __init__(self) -> None:
        self._sentences: list[list[int]] = []  # of each step: the batch's sentences among its rows
        self._tokens: list[Tensor] = []
        self._parents: list[Tensor] = []
        self._log_probs: list[Tensor] = []
        self._scores: list[Tensor] = []
        self._weights: list[Tensor] = []

    def append(
        self, sentences: list[int], choice: Choice, log_probs: Tensor, scores: Tensor, weights: Tensor | None
    ) -> None:
        """Note a step: the model's own log_probs (B, K), scores of hypotheses that end here and -inf elsewhere.

        `weights` (B, K, S) are those of the hypotheses that this step's go on from, where they are wanted.
        """
        self._sentences.append(sentences)
        self._tokens.append(choice.tokens)
        self._parents.append(choice.parents)
        self._log_probs.append(log_probs)
        self._scores.append(scores)
        if weights is not None:
            self._weights.append(weights)

    def ended(self, source_lengths: list[int]) -> list[list[Ended]]:
        """All ended hypotheses of each sentence, by step and then by slot."""
        starts = [0, *accumulate(len(sentences) for sentences in self._sentences)]
        rows = [  # rows[step][sentence]: where to look in the lists below
            {sentence: start + i for i, sentence in enumerate(sentences)}
            for start, sentences in zip(starts, self._sentences, strict=False)
        ]
        noted = (self._tokens, self._parents, self._log_probs, self._scores)
        tokens, parents, log_probs, scores = (torch.cat(steps).tolist() for steps in noted)
        weights = [step_weights.float().cpu() for step_weights in self._weights]

        def read(sentence: int, last: int, slot: int) -> Hypothesis:
            row = rows[last][sentence]
            log_prob, score = log_probs[row][slot], scores[row][slot]
            path, attended = [], []
            for step in range(last, -1, -1):
                row = rows[step][sentence]
                path.append(tokens[row][slot])
                slot = parents[row][slot]
                if weights:  # a token's weights are those of the row that it grew from
                    attended.append(weights[step][row - starts[step], slot, : source_lengths[sentence]])
            return Hypothesis(path[:0:-1], log_prob, score, torch.stack(attended[::-1]) if weights else None)

        places = [(step, sentence) for step, sentences in enumerate(self._sentences) for sentence in sentences]
        ended: list[list[Ended]] = [[] for _ in source_lengths]
        for row, slot in (torch.cat(self._scores) > -torch.inf).nonzero().tolist():
            step, sentence = places[row]
            ended[sentence].append(Ended(slot, read(sentence, step, slot)))
        return ended
