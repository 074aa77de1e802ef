"""What a translation may not say, whatever the model thinks of it: suppressed ids, lengths, forced prefixes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.search.protocol import SpecialIds
from seq2seq.search.repetition import Repetition

FREE = Repetition()


class Constraints:
    """The rules of each sentence of a batch, applied to log-probabilities that are already normalised.

    So they are the model's own, the same as forced scoring gives, but for a repetition penalty. Lengths count EOS.

    - suppressed ids are never generated, and EOS not before min_length;
    - at a sentence's last step, max_length, only EOS is left, so that every hypothesis is a whole sentence; this goes
      before min_length, so that a large min_length forces every sentence to exactly its max_length;
    - a prefix is forced token by token, be it of suppressed ids; a max_length without room for EOS after it is raised;
    - what was said, in a prefix too, may be blocked or penalised when it is to be said again (see Repetition). This
      holds for what is chosen, not for a prefix or for EOS: where no word is left to choose, the sentence ends, even
      before min_length.
    """

    def __init__(
        self,
        max_lengths: Tensor,
        min_length: int,
        special: SpecialIds,
        prefixes: Sequence[Sequence[int]] | None,
        repetition: Repetition = FREE,
    ) -> None:
        limits: list[int] = max_lengths.tolist()
        self.prefixes = [[] for _ in limits] if prefixes is None else [list(prefix) for prefix in prefixes]
        if any(special.eos in prefix for prefix in self.prefixes):
            raise ValueError(f"a forced prefix holds EOS (id {special.eos}), after which nothing can follow")
        self.max_lengths = [max(limit, len(prefix) + 1) for limit, prefix in zip(limits, self.prefixes, strict=True)]
        self.min_length = min_length
        self.special = special
        self.repetition = repetition

    def forced(self, sentence: int, step: int) -> int | None:
        """The only token that a sentence may take at this step, if there is just one."""
        if step < len(self.prefixes[sentence]):
            return self.prefixes[sentence][step]
        return self.special.eos if step == self.max_lengths[sentence] - 1 else None

    def apply(self, log_probs: Tensor, step: int, sentences: list[int], said: Tensor | None = None) -> Tensor:
        """Write -inf over what is not allowed at this step (from 0); log_probs (B, K, V) is edited in place.

        said (B, K, step) are the tokens of each hypothesis, needed where repetition.remembers.
        """
        eos, early = self.special.eos, step + 1 < self.min_length
        forced = [(row, self.forced(sentence, step)) for row, sentence in enumerate(sentences)]
        rows = [row for row, token in forced if token is not None]
        tokens = [token for _, token in forced if token is not None]

        only = log_probs[rows, :, tokens] if rows else None  # (forced sentences, K)
        ending = log_probs[:, :, eos].clone() if early and said is not None else None  # (B, K)
        for token in [*self.special.suppressed, *([eos] if early else [])]:
            log_probs[:, :, token] = -torch.inf  # a few columns; an index tensor would wait for the device
        if said is not None:
            self.repetition.apply(log_probs, said, eos)
        if ending is not None:
            speechless = log_probs.amax(dim=2) == -torch.inf  # (B, K)
            log_probs[:, :, eos] = ending.where(speechless, log_probs[:, :, eos])
        if only is not None:
            log_probs[rows] = -torch.inf
            log_probs[rows, :, tokens] = only
        return log_probs
