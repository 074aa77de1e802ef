"""What a hypothesis has said, held against its saying it again."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Repetition:
    """Blocked n-grams and a penalty on repeated tokens; both spare EOS, which is never among what was said.

    block_ngram: no n-gram of this size may occur twice in a hypothesis (Paulus et al. 2018, section 2.5); 0: off.
    penalty: what was said before has its log-probability multiplied by it (Keskar et al. 2019, section 4.1); 1: off.
    There logits are divided, which raises those below 0; log-probabilities are never above 0 and can only fall.
    """

    block_ngram: int = 0
    penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.block_ngram < 0:
            raise ValueError(f"block_ngram={self.block_ngram} must be positive, or 0 to allow any repetition")
        if not 1 <= self.penalty < float("inf"):
            raise ValueError(f"repetition_penalty={self.penalty} must be a number from 1, which changes nothing")

    @property
    def penalises(self) -> bool:
        return self.penalty > 1

    @property
    def remembers(self) -> bool:
        """Whether it has to be told what was said."""
        return self.penalises or self.block_ngram > 0

    def apply(self, log_probs: Tensor, said: Tensor, eos: int) -> Tensor:
        """Edit log_probs (R, V) in place, by the tokens (R, t) that the hypotheses consist of so far."""
        ending = log_probs[:, eos].clone()  # (R,)
        if self.penalises:
            log_probs.scatter_(1, said, log_probs.gather(1, said) * self.penalty)
        size = self.block_ngram
        if 0 < size <= said.shape[1]:
            ngrams = said.unfold(1, size, 1)  # (R, t - n + 1, n)
            newest = said[:, None, said.shape[1] - size + 1 :]  # (R, 1, n - 1), to be continued
            begun = (ngrams[..., :-1] == newest).all(dim=2)  # (R, t - n + 1)
            # Where an n-gram begins otherwise, its last token is allowed; EOS stands in for it and is mended below.
            log_probs.scatter_(1, torch.where(begun, ngrams[..., -1], eos), -torch.inf)
        log_probs[:, eos] = ending
        return log_probs
