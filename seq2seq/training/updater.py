"""One update of the weights: forward, loss, backward, clipping, the optimizer's step."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seq2seq.config import Config
from seq2seq.data.batch import Batch
from seq2seq.evaluation.translator import predict
from seq2seq.models.coverage import coverage_loss
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.runtime import Runtime
from seq2seq.training.loss import cross_entropy
from seq2seq.training.optim import build_optimizer


class Updater:
    """The optimizer of a model, and all that belongs to one step of it; `meter` sums up what the steps did."""

    def __init__(self, config: Config, model: Seq2Seq, runtime: Runtime) -> None:
        self.model, self.runtime = model, runtime
        self.label_smoothing = config.trainer.label_smoothing
        self.coverage_loss = config.attention.coverage_loss
        self.clip_norm = math.inf if config.trainer.clip_norm is None else config.trainer.clip_norm
        self.optimizer = build_optimizer(config.optimizer, model.parameters())
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16")
        self.meter = Meter()

    def update(self, batches: Sequence[Batch]) -> int:
        """One step on the mean loss over all target tokens of these batches; returns their number."""
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        tokens = sum(batch.target_tokens for batch in batches)
        for batch in batches:
            batch = batch.to(self.runtime.device)
            with self.runtime.autocast():
                logits, weights = predict(self.model, batch)
            loss, nll = cross_entropy(logits, batch.target_output[batch.target_mask], self.label_smoothing)
            if self.coverage_loss:
                assert weights is not None
                loss = loss + self.coverage_loss * coverage_loss(weights, batch.target_mask)
            self.scaler.scale(loss / tokens).backward()  # type: ignore[no-untyped-call]
            self.meter.add(loss, nll, batch.target_tokens)
        self.scaler.unscale_(self.optimizer)
        self.meter.gradient_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return tokens

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}


class Meter:
    """Sums over the updates since the last log line, kept on the device until they are read."""

    def __init__(self) -> None:
        self.gradient_norm = torch.tensor(0.0)
        self._smoothed: Tensor | float
        self._nll: Tensor | float
        self._tokens: int
        self.restart()

    def add(self, smoothed: Tensor, nll: Tensor, tokens: int) -> None:
        self._smoothed = self._smoothed + smoothed.detach()
        self._nll = self._nll + nll.detach()
        self._tokens += tokens

    def read(self, learning_rate: float) -> dict[str, float]:
        """Means a token, the rate of real target tokens, and what the optimizer did; then starts anew."""
        tokens = max(1, self._tokens)
        numbers = {
            "loss": round(float(self._smoothed) / tokens, 6),
            "perplexity": round(math.exp(min(float(self._nll) / tokens, 700)), 4),
            "tokens_per_second": round(self._tokens / (time.monotonic() - self._since), 1),
            "learning_rate": learning_rate,
            "gradient_norm": round(float(self.gradient_norm), 4),
        }
        self.restart()
        return numbers

    def restart(self) -> None:
        """Forgets what was summed; also after a validation, so that its seconds don't count as training's."""
        self._smoothed = self._nll = 0.0
        self._tokens = 0
        self._since = time.monotonic()
