"""One update of the weights: forward, loss, backward, clipping, the optimizer's step."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seq2seq.config import Config
from seq2seq.data.batch import Batch
from seq2seq.errors import TrainingError
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.runtime import Runtime, out_of_memory
from seq2seq.training.loss import Loss
from seq2seq.training.meter import Meter
from seq2seq.training.objectives import Objective
from seq2seq.training.optim import build_optimizer, load_numbers, numbers_kept
from seq2seq.training.state import random_state, set_random_state

LOGGER = logging.getLogger("seq2seq")
LAST_UPDATE = 1_000_000_000  # behind whatever an objective does step by step


class Updater:
    """The optimizer of a model, and all that belongs to one step of it; `meter` sums up what the steps did.

    An update whose loss or gradient isn't finite changes nothing and is counted. A batch that memory has no room for is
    taken in parts, and so are all later ones of its size; the gradient is the same.
    """

    def __init__(self, config: Config, model: Seq2Seq, runtime: Runtime, objective: Objective) -> None:
        self.model, self.runtime, self.objective = model, runtime, objective
        self.clip_norm = math.inf if config.trainer.clip_norm is None else config.trainer.clip_norm
        self.optimizer = build_optimizer(config.optimizer, model.parameters())
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16")
        self.meter = Meter(runtime.device)
        self.most_cells: int | None = None  # source and target cells that memory has room for; None: no limit met

    def update(self, batches: Sequence[Batch], number: int) -> int:
        """Update number `number`: a step on the mean loss over all target tokens of these batches; returns their count.

        Raises:
            TrainingError: memory has no room for one sentence, or for what the optimizer keeps.
        """
        tokens = sum(batch.target_tokens for batch in batches)
        loss = self._gradients(batches, tokens, number)
        self.scaler.unscale_(self.optimizer)
        gradient_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        sound = loss.trained.isfinite() & gradient_norm.isfinite()
        self._step(sound)
        self.meter.add(loss, gradient_norm, tokens, sound)
        return tokens

    def rehearse(self, batch: Batch) -> None:
        """Forward and backward without a step: where memory has no room for `batch`, that shows now.

        What the optimizer will keep of each weight takes its room meanwhile, if it hasn't yet.
        """
        random = random_state(self.runtime)
        kept = 0 if self.optimizer.state else numbers_kept(self.optimizer)
        reserved = [torch.empty_like(weight) for weight in self.model.parameters() for _ in range(kept)]
        try:
            self._gradients([batch], batch.target_tokens, LAST_UPDATE)
        finally:
            del reserved
            self.optimizer.zero_grad(set_to_none=True)
            set_random_state(random, self.runtime)

    def state_dict(self) -> dict[str, Any]:
        state = self.optimizer.state_dict()["state"]
        return {
            "optimizer": {str(i): numbers for i, numbers in state.items()},  # rates are the config's and the schedule's
            "scaler": self.scaler.state_dict(),
            "meter": self.meter.state_dict(),
            "most_cells": self.most_cells,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_numbers(self.optimizer, {int(i): numbers for i, numbers in state["optimizer"].items()})
        if state["scaler"]:  # none where the precision was another
            self.scaler.load_state_dict(state["scaler"])
        self.meter.load_state_dict(state["meter"])
        self.most_cells = state["most_cells"]

    def _gradients(self, batches: Sequence[Batch], tokens: int, number: int) -> Loss:
        """The gradient of the mean loss over `tokens` tokens, in as many parts as memory asks for; the losses' sums."""
        self.model.train()
        while True:
            parts = [part for batch in batches for part in split(batch, self.most_cells)]
            self.optimizer.zero_grad(set_to_none=True)  # also of what a part that failed left
            losses: list[Loss] = []
            try:
                for part in parts:
                    losses.append(self._backward(part, tokens, number))
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                self._take_smaller(parts[len(losses)])
            else:
                return Loss(*(torch.stack(sums).sum() for sums in zip(*losses, strict=True)))
            if self.runtime.device.type == "cuda":  # here the error is gone, and with it what its frames held
                torch.cuda.empty_cache()

    def _backward(self, batch: Batch, tokens: int, number: int) -> Loss:
        with self.runtime.autocast():
            loss, nll = self.objective(self.model, batch.to(self.runtime.device), number)
        self.scaler.scale(loss / tokens).backward()  # type: ignore[no-untyped-call]
        return Loss(loss.detach(), nll.detach())

    def _take_smaller(self, batch: Batch) -> None:
        rows, source, target = len(batch.source), batch.source.shape[1], batch.target_output.shape[1]
        if rows == 1:
            raise TrainingError(
                f"memory has no room for one sentence of {source} source and {target} target pieces; set a smaller "
                "data.max_length, or a smaller model"
            )
        if self.most_cells is None:
            LOGGER.warning(
                "memory has no room for a batch of %s sentences of %s source and %s target pieces: batches of this "
                "size are now taken in parts (a smaller trainer.batch_sentences or batch_tokens with a larger "
                "trainer.accumulate does the same)", rows, source, target,
            )  # fmt: skip
        self.most_cells = _cells(batch) // 2

    def _step(self, sound: Tensor) -> None:
        """The optimizer's step, unless the gradient isn't sound."""
        # SGD's first step makes its momentum of the gradient; if the kernel skips it, of whatever memory holds.
        makes_momentum = not self.optimizer.state and bool(self.optimizer.defaults.get("momentum"))
        try:
            if self.runtime.device.type == "cuda" and not makes_momentum:
                self.optimizer.found_inf = (~sound).float()  # type: ignore[attr-defined]  # the fused kernels' switch:
                self.optimizer.step()  # the processor needn't wait for the GPU to know
            elif sound:
                self.optimizer.step()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise TrainingError(
                "memory has no room for what the optimizer keeps of each weight; use optimizer=sgd, or a smaller model"
            ) from error
        self.scaler.update()


def split(batch: Batch, most_cells: int | None) -> list[Batch]:
    """`batch` by rows in parts of at most so many cells, without the padding that they need no more; None: whole."""
    if most_cells is None or _cells(batch) <= most_cells:
        return [batch]
    rows = max(1, most_cells // (_cells(batch) // len(batch.source)))
    return [_rows(batch, start, start + rows) for start in range(0, len(batch.source), rows)]


def _rows(batch: Batch, start: int, end: int) -> Batch:
    source_lengths, target_lengths = batch.source_lengths[start:end], batch.target_lengths[start:end]
    source, target = int(source_lengths.max()), int(target_lengths.max())
    return Batch(
        batch.source[start:end, :source],
        source_lengths,
        batch.target_input[start:end, :target],
        batch.target_output[start:end, :target],
        target_lengths,
    )


def _cells(batch: Batch) -> int:
    return batch.source.numel() + batch.target_output.numel()
