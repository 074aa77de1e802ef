"""Sums over updates, for the reports."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from seq2seq.training.loss import Loss


class Meter:
    """What the updates since the last report did, summed on the device until it is read; and skipped ones in a row."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0  # spent on updates; the trainer adds to it
        self._tokens = 0
        self._sums = torch.zeros(4, dtype=torch.float64, device=_wide(device))  # loss, nll, their tokens, skipped
        self._in_row = torch.zeros((), dtype=torch.int64, device=device)
        self._longest = torch.zeros((), dtype=torch.int64, device=device)  # such row since the last look
        self._gradient_norm = torch.zeros((), device=device)

    def add(self, loss: Loss, gradient_norm: Tensor, tokens: int, sound: Tensor) -> None:
        """An update's sums over its tokens; of one that isn't `sound` only that it was skipped."""
        numbers = torch.stack([loss.trained, loss.nll, torch.full_like(loss.nll, tokens), torch.ones_like(loss.nll)])
        kept = torch.stack([sound, sound, sound, ~sound])
        self._sums += torch.where(kept, numbers, 0).to(self._sums)
        self._in_row = torch.where(sound, 0, self._in_row + 1)
        self._longest = torch.maximum(self._longest, self._in_row)
        self._gradient_norm = gradient_norm.detach()
        self._tokens += tokens

    def skipped_in_row(self) -> int:
        """The most updates that were skipped one after the other since the last call; waits for the device."""
        longest, self._longest = int(self._longest), self._in_row
        return longest

    def read(self, learning_rate: float) -> dict[str, Any]:
        """Means a token, the rate of real target tokens, and what the optimizer did; then starts anew."""
        loss, nll, tokens, skipped = self._sums.tolist()
        numbers = {
            "loss": round(loss / tokens, 6) if tokens else None,
            "perplexity": round(math.exp(min(nll / tokens, 700)), 4) if tokens else None,
            "tokens_per_second": round(self._tokens / max(self.seconds, 1e-9), 1),
            "learning_rate": learning_rate,
            "gradient_norm": round(float(self._gradient_norm), 4) if self._gradient_norm.isfinite() else None,
            "skipped": int(skipped),
        }
        self._sums.zero_()
        self._tokens, self.seconds = 0, 0.0
        return numbers

    def state_dict(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "tokens": self._tokens,
            "sums": self._sums,
            "in_row": self._in_row,
            "longest": self._longest,
            "gradient_norm": self._gradient_norm,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds, self._tokens = state["seconds"], state["tokens"]
        self._sums.copy_(state["sums"])
        self._in_row.copy_(state["in_row"])
        self._longest = state["longest"].to(self._in_row)
        self._gradient_norm = state["gradient_norm"].to(self._gradient_norm)


def _wide(device: torch.device) -> torch.device:
    """Where float64 is: an Apple GPU has none."""
    return torch.device("cpu") if device.type == "mps" else device
