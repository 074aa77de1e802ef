"""The training loop: teacher forcing until a limit, with validations and checkpoints on the way."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from seq2seq.config import Config
from seq2seq.data.batch import Batch, collate
from seq2seq.data.prepare import Corpora
from seq2seq.data.sampler import BatchSampler
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.options.training import interval
from seq2seq.progress import Progress
from seq2seq.runs import RunFolder
from seq2seq.runtime import Runtime
from seq2seq.training.journal import Journal
from seq2seq.training.optim import Schedule, horizon
from seq2seq.training.updater import Updater
from seq2seq.training.validation import Validator

LOGGER = logging.getLogger("seq2seq")


@dataclass
class Counters:
    """How far the training is."""

    update: int = 0
    epoch: int = 0  # whole epochs done
    position: int = 0  # updates done in the present epoch
    target_tokens: int = 0
    seconds: float = 0.0  # spent on updates, without validations and checkpoints
    validated: int = 0  # the update of the last validation
    validations_without_better: int = 0
    best: dict[str, float] = field(default_factory=dict)


class Trainer:
    """Trains `model` in `folder`; `run` goes on until a limit is met and says which."""

    def __init__(
        self,
        config: Config,
        model: Seq2Seq,
        corpora: Corpora,
        validator: Validator,
        folder: RunFolder,
        runtime: Runtime,
    ) -> None:
        self.config, self.model, self.corpora = config, model, corpora
        self.validator, self.folder, self.runtime = validator, folder, runtime
        options = config.trainer
        self.sampler = BatchSampler(
            corpora.train.source_lengths,
            corpora.train.target_lengths,
            batch_tokens=options.batch_tokens,
            batch_sentences=options.batch_sentences,
            seed=config.seed,
        )
        first = self.sampler.epoch(0)
        self.batches_per_epoch = len(first)
        self.updates_per_epoch = math.ceil(self.batches_per_epoch / options.accumulate)
        self.padding_efficiency = self.sampler.padding_efficiency(first)
        self.updater = Updater(config, model, runtime)
        self.schedule = Schedule(self.updater.optimizer, config.scheduler, horizon(config, self.updates_per_epoch))
        self.counters = Counters()
        self.journal = Journal(folder)

    def run(self) -> str:
        """Trains until a limit; returns the reason for stopping, in words."""
        LOGGER.info(
            "training: %s batches an epoch, %.1f %% of their cells real tokens; %s",
            f"{self.batches_per_epoch:,}", 100 * self.padding_efficiency, self.runtime.describe(),
        )  # fmt: skip
        self.started = time.monotonic()
        with Progress("train", self._total_updates(), "updates", self.config.trainer.log_seconds) as bar:
            reason = None
            while reason is None:
                reason = self._epoch(bar)
        LOGGER.info("stopped after update %s: %s", f"{self.counters.update:,}", reason)
        if self.counters.validated != self.counters.update:
            self._validate()
        self._save()
        self.journal.close()
        return reason

    def wall_seconds(self) -> float:
        """Since the first update, validations included."""
        return time.monotonic() - self.started

    def _epoch(self, bar: Progress) -> str | None:
        """One epoch, or what a limit leaves of it."""
        counters = self.counters
        groups = self._groups(self.sampler.epoch(counters.epoch))
        start = time.monotonic()
        for group in groups:
            counters.update += 1
            self.schedule.step(counters.update)
            counters.target_tokens += self.updater.update(group)
            counters.seconds += time.monotonic() - start
            counters.position += 1
            bar.update(1)
            if bar.due:
                self._report(bar)
            if counters.position == self.updates_per_epoch:
                counters.epoch, counters.position = counters.epoch + 1, 0
            if self._due(self.config.trainer.validate_every):
                self._validate()
            if self._due(self.config.trainer.save_every):
                self._save()
            reason = self._reason_to_stop()
            if reason is not None:
                return reason
            start = time.monotonic()
        return None

    def _groups(self, batches: list[list[int]]) -> Iterator[list[Batch]]:
        """The batches of each update: one, or `accumulate` of them."""
        size = self.config.trainer.accumulate
        for start in range(0, len(batches), size):
            yield [collate(self.corpora.train, rows, self.corpora.tokenizers) for rows in batches[start : start + size]]

    def _report(self, bar: Progress) -> None:
        """A log line and a line of metrics.jsonl about the updates since the last one."""
        numbers = self.updater.meter.read(self.schedule.learning_rate)
        left = self._seconds_left()
        bar.say(
            "epoch {} update {:,}: loss {loss:.3f} perplexity {perplexity:.2f} {tokens_per_second:,.0f} tokens/s "
            "learning rate {learning_rate:.2e} gradient norm {gradient_norm:.2f} {}".format(
                self.counters.epoch + 1, self.counters.update, _duration(left), **numbers
            ),
            f"loss {numbers['loss']:.3f} {numbers['tokens_per_second']:,.0f} tokens/s",
        )
        self.journal.write("train", self.counters.update, self._epochs_done(), numbers)

    def _validate(self) -> None:
        """Scores the model on the validation set, and makes this checkpoint the best if it is."""
        counters, options = self.counters, self.config.trainer
        scores = self.validator.validate(self.model)
        counters.validated = counters.update
        better = not counters.best or scores.is_better(counters.best, options.best)
        counters.validations_without_better = 0 if better else counters.validations_without_better + 1
        LOGGER.info(
            "valid after update %s (epoch %.2f): loss %.4f perplexity %.3f BLEU %.2f%s",
            f"{counters.update:,}", self._epochs_done(), scores.loss, scores.perplexity, scores.bleu,
            f" (best {options.best})" if better else "",
        )  # fmt: skip
        numbers = asdict(scores)
        self.journal.write(
            "valid", counters.update, self._epochs_done(), {**numbers, "seconds": round(self.wall_seconds(), 3)}
        )
        self.schedule.validated(scores.to_minimise(options.best))
        if better:
            counters.best = {"update": counters.update, "epoch": self._epochs_done(), **numbers}
            self._save()
            self.folder.point("best", counters.update, counters.best)
            self.folder.drop_checkpoints(options.keep_last)
        self.updater.meter.restart()

    def _save(self) -> None:
        if not self.folder.has_checkpoint(self.counters.update):
            self.folder.save_checkpoint(self.counters.update, self.model, self.state_dict())
        self.folder.point("last", self.counters.update, {})
        self.folder.drop_checkpoints(self.config.trainer.keep_last)
        self.updater.meter.restart()

    def state_dict(self) -> dict[str, Any]:
        """All but the weights that a training goes on from, as tensors and plain data."""
        return {
            **self.updater.state_dict(),
            "schedule": self.schedule.state_dict(),
            "counters": asdict(self.counters),
            "random": torch.get_rng_state(),
        }

    def _due(self, every: int | str) -> bool:
        updates, epochs = interval(every)
        if updates is not None:
            return self.counters.update % updates == 0
        assert epochs is not None
        return self.counters.position == 0 and self.counters.epoch % epochs == 0

    def _reason_to_stop(self) -> str | None:
        options, counters = self.config.trainer, self.counters
        if options.max_updates is not None and counters.update >= options.max_updates:
            return f"trainer.max_updates={options.max_updates}"
        if options.max_epochs is not None and counters.epoch >= options.max_epochs:
            return f"trainer.max_epochs={options.max_epochs}"
        if options.max_minutes is not None and self.wall_seconds() >= 60 * options.max_minutes:
            return f"trainer.max_minutes={options.max_minutes:g}"
        if options.patience is not None and counters.validations_without_better >= options.patience:
            return f"no better {options.best} in {options.patience} validations (trainer.patience)"
        return None

    def _epochs_done(self) -> float:
        return round(self.counters.epoch + self.counters.position / self.updates_per_epoch, 4)

    def _total_updates(self) -> int | None:
        """Where update and epoch limits end the training, if there is such a limit."""
        options = self.config.trainer
        by_epochs = None if options.max_epochs is None else options.max_epochs * self.updates_per_epoch
        return min((limit for limit in (options.max_updates, by_epochs) if limit is not None), default=None)

    def _seconds_left(self) -> float | None:
        """To the nearest limit, at the pace so far."""
        options, counters = self.config.trainer, self.counters
        total, spent = self._total_updates(), self.wall_seconds()
        by_updates = None if total is None else spent / counters.update * (total - counters.update)
        by_minutes = None if options.max_minutes is None else 60 * options.max_minutes - spent
        return min((limit for limit in (by_updates, by_minutes) if limit is not None), default=None)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes}:{rest:02d} left"
