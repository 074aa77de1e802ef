"""What an objective is, to whoever makes updates."""

from __future__ import annotations

from typing import Protocol

from seq2seq.data.batch import Batch
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.training.loss import Loss


class Objective(Protocol):
    """The loss of a batch, summed over its real target tokens; the update divides it by their number.

    The sum over a batch is that of its sentences one by one, so that a batch may be taken in parts. What is drawn comes
    from torch's global generators, which checkpoints hold.
    """

    @property
    def meaning(self) -> str | None:
        """What the reported loss is a token, and perplexity of what, in words; None: cross entropy, the references'."""
        ...

    def __call__(self, model: Seq2Seq, batch: Batch, update: int) -> Loss:
        """Of a batch on the model's device, in update number `update` (from 1) of the training."""
        ...
