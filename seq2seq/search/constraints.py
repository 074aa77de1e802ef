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
        device: torch.device | None = None,
    ) -> None:
        """device: that of the log-probabilities; by default that of max_lengths."""
        limits: list[int] = max_lengths.tolist()
        beginnings = [[] for _ in limits] if prefixes is None else [list(prefix) for prefix in prefixes]
        if any(special.eos in prefix for prefix in beginnings):
            raise ValueError(f"a forced prefix holds EOS (id {special.eos}), after which nothing can follow")
        self.max_lengths = [max(limit, len(prefix) + 1) for limit, prefix in zip(limits, beginnings, strict=True)]
        self.min_length = min_length
        self.special = special
        self.repetition = repetition
        self._suppressed = torch.tensor(special.suppressed, dtype=torch.long, device=device or max_lengths.device)
        self._forced: dict[int, dict[int, int]] = {}  # at each step, the sentences that may take one token only
        for sentence, (prefix, max_length) in enumerate(zip(beginnings, self.max_lengths, strict=True)):
            for step, token in [*enumerate(prefix), (max_length - 1, special.eos)]:
                self._forced.setdefault(step, {})[sentence] = token

    def apply(self, log_probs: Tensor, step: int, sentences: Sequence[int], said: Tensor | None = None) -> Tensor:
        """Write -inf over what is not allowed at this step (from 0); log_probs (R, V) is edited in place.

        `sentences` (R) is whose each row is; said (R, step) are its tokens, needed where repetition.remembers.
        """
        eos, early = self.special.eos, step + 1 < self.min_length
        forced = self._forced.get(step, {})
        rows = [row for row, sentence in enumerate(sentences) if sentence in forced] if forced else []
        tokens = [forced[sentences[row]] for row in rows]

        only = log_probs[rows, tokens] if rows else None  # (forced rows,)
        ending = log_probs[:, eos].clone() if early and said is not None else None  # (R,)
        log_probs.index_fill_(1, self._suppressed, -torch.inf)
        if early:
            log_probs[:, eos] = -torch.inf
        if said is not None:
            self.repetition.apply(log_probs, said, eos)
        if ending is not None:
            speechless = log_probs.amax(dim=1) == -torch.inf  # (R,)
            log_probs[:, eos] = ending.where(speechless, log_probs[:, eos])
        if only is not None:
            log_probs[rows] = -torch.inf
            log_probs[rows, tokens] = only
        return log_probs
