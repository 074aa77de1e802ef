"""Optimizers and learning-rate schedules, by the names of their configs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.options import TrainerConfig


def build_optimizer(options: Any, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """torch's fused kernel of `optimizer=NAME`."""
    return OPTIMIZERS[options.name](options, list(parameters))


OPTIMIZERS: dict[str, Callable[[Any, list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda o, p: torch.optim.Adam(
        p, lr=o.learning_rate, betas=(o.betas[0], o.betas[1]), eps=o.epsilon, fused=_fusable(p)
    ),
    "adamw": lambda o, p: torch.optim.AdamW(
        p,
        lr=o.learning_rate,
        betas=(o.betas[0], o.betas[1]),
        eps=o.epsilon,
        weight_decay=o.weight_decay,
        fused=_fusable(p),
    ),
    "sgd": lambda o, p: torch.optim.SGD(p, lr=o.learning_rate, momentum=o.momentum, fused=_fusable(p)),
}


def load_numbers(optimizer: torch.optim.Optimizer, numbers: Mapping[int, Mapping[str, Any]]) -> None:
    """Puts an earlier training's numbers in, by parameter; rates stay those of the config and the schedule.

    Raises:
        ValueError: of another size than their parameter. The fused kernels don't look, and would write beyond them.
    """
    fused = any(group.get("fused") for group in optimizer.param_groups)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, kept in numbers.items():
        if not 0 <= place < len(parameters):
            raise ValueError(f"the optimizer has no parameter {place}")
        for name, number in kept.items():
            shape = torch.Size() if name == "step" else parameters[place].shape
            if fused and (not isinstance(number, Tensor) or number.shape != shape):
                raise ValueError(f"{name} of the optimizer's parameter {place} is not a tensor of shape {tuple(shape)}")
    optimizer.load_state_dict({"state": dict(numbers), "param_groups": optimizer.state_dict()["param_groups"]})


def numbers_kept(optimizer: torch.optim.Optimizer) -> int:
    """How many numbers the optimizer keeps of each weight: Adam's two moments, or SGD's momentum."""
    return 2 if "betas" in optimizer.defaults else int(bool(optimizer.defaults.get("momentum")))


class Schedule:
    """The learning rate of each update: the optimizer's, times a warm-up, times the decay of `scheduler=NAME`."""

    def __init__(self, optimizer: torch.optim.Optimizer, options: Any) -> None:
        self.optimizer, self.options = optimizer, options
        self.peak = float(optimizer.param_groups[0]["lr"])
        self.plateau = 1.0  # what validations have made of the rate
        self.waited = 0  # validations since the last better one
        self.best: float | None = None

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self, update: int) -> None:
        """Sets the rate for update number `update`, counted from 1."""
        warmup = self.options.warmup_updates
        decay = DECAYS[self.options.name](self, update)
        rate = self.peak * min(1.0, update / warmup if warmup else 1.0) * decay
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def validated(self, loss_like: float) -> None:
        """Tells the schedule a validation's result, lower being better; only `plateau` listens."""
        if loss_like < (math.inf if self.best is None else self.best):
            self.best, self.waited = loss_like, 0
            return
        self.waited += 1
        if self.options.name == "plateau" and self.waited > self.options.patience:
            self.plateau = max(self.plateau * self.options.factor, self.options.min_learning_rate / self.peak)
            self.waited = 0

    def state_dict(self) -> dict[str, Any]:
        return {"plateau": self.plateau, "waited": self.waited, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.plateau, self.waited, self.best = state["plateau"], state["waited"], state["best"]


def _cosine(schedule: Schedule, update: int) -> float:
    """Half a cosine from 1 at the end of the warm-up to `final_ratio` at `decay_updates`."""
    options = schedule.options
    share = min(1.0, max(0, update - options.warmup_updates) / max(1, options.decay_updates - options.warmup_updates))
    return float(options.final_ratio + (1 - options.final_ratio) * 0.5 * (1 + math.cos(math.pi * share)))


def _inverse_sqrt(schedule: Schedule, update: int) -> float:
    """Vaswani et al. (2017), section 5.3: proportional to 1 / sqrt(update) after the warm-up."""
    warmup = schedule.options.warmup_updates
    return math.sqrt(warmup / max(update, warmup))


def _step(schedule: Schedule, update: int) -> float:
    """Luong et al. (2015), section 4.1: full at first, then times `factor` again and again."""
    options = schedule.options
    return float(options.factor ** (max(0, update - 1 - options.start_updates) // options.every_updates))


DECAYS: dict[str, Callable[[Schedule, int], float]] = {
    "constant": lambda schedule, update: 1.0,
    "inverse_sqrt": _inverse_sqrt,
    "cosine": _cosine,
    "step": _step,
    "plateau": lambda schedule, update: schedule.plateau,
}


def last_update(trainer: TrainerConfig, updates_per_epoch: int) -> int | None:
    """The update at which update and epoch limits end the training, if there is such a limit."""
    by_epochs = None if trainer.max_epochs is None else trainer.max_epochs * updates_per_epoch
    return min((limit for limit in (trainer.max_updates, by_epochs) if limit is not None), default=None)


def _fusable(parameters: list[nn.Parameter]) -> bool:
    return all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
