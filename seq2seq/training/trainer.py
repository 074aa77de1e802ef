"""The training loop: teacher forcing until a limit, with validations and checkpoints on the way."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict
from typing import Any

from seq2seq.checkpoints import Manifest
from seq2seq.config import Config
from seq2seq.data.batch import Batch, collate
from seq2seq.data.prepare import Corpora
from seq2seq.data.sampler import BatchSampler
from seq2seq.errors import Interrupted, TrainingError
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.models.weights import finite
from seq2seq.options.training import interval
from seq2seq.progress import Progress
from seq2seq.runs import RunFolder
from seq2seq.runtime import Runtime
from seq2seq.training.interruption import Interruption
from seq2seq.training.journal import Journal
from seq2seq.training.optim import Schedule, last_update
from seq2seq.training.state import Counters, random_state, set_random_state
from seq2seq.training.updater import Updater
from seq2seq.training.validation import Validator, room_for_search

LOGGER = logging.getLogger("seq2seq")
LOOK_EVERY = 10  # updates between looks at the number of skipped ones, for which the processor waits for the GPU


class Trainer:
    """Trains `model` in `folder`; `run` goes on until a limit is met and says which.

    Everything that the next update depends on is in `state_dict`, so that a training resumed from a checkpoint goes the
    way that it would have gone: on a CPU, bit for bit.
    """

    def __init__(
        self,
        config: Config,
        model: Seq2Seq,
        corpora: Corpora,
        sampler: BatchSampler,
        validator: Validator,
        folder: RunFolder,
        runtime: Runtime,
    ) -> None:
        self.config, self.model, self.corpora, self.sampler = config, model, corpora, sampler
        self.validator, self.folder, self.runtime = validator, folder, runtime
        first = sampler.epoch(0)
        self.batches_per_epoch = len(first)  # with trainer.batch_tokens, another epoch may have a few more or less
        self.updates_per_epoch = math.ceil(self.batches_per_epoch / config.trainer.accumulate)
        self.padding_efficiency = sampler.padding_efficiency(first)
        self.updater = Updater(config, model, runtime)
        self.schedule = Schedule(self.updater.optimizer, config.scheduler)
        self.counters = Counters()
        self.epoch = first
        self.saved: tuple[int, float | None] | None = None  # update and rank of the newest checkpoint
        self.journal: Journal | None = None

    def resume(self, manifest: Manifest, state: dict[str, Any]) -> None:
        """Goes on from this state; the weights are in the model already."""
        self.updater.load_state_dict(state["updater"])
        self.schedule.load_state_dict(state["schedule"])
        self.counters = Counters(**state["counters"])
        self.epoch = self.sampler.epoch(self.counters.epoch)
        set_random_state(state["random"], self.runtime)
        self.journal = Journal(self.folder, state["journal"], self.counters.update)
        self.saved = (manifest.update, manifest.rank)
        LOGGER.info("resuming from update %s (epoch %.2f)", f"{self.counters.update:,}", self.epochs_done())

    def run(self, interruption: Interruption) -> str:
        """Trains until a limit; returns the reason for stopping, in words.

        Raises:
            Interrupted: a signal came; what was done is saved.
            TrainingError: gradients stopped being finite, or memory has no room for the largest sentence.
            CheckpointError: a checkpoint can't be written.
        """
        LOGGER.info(
            "training: %s batches an epoch, %.1f %% of their cells real tokens; %s",
            f"{self.batches_per_epoch:,}", 100 * self.padding_efficiency, self.runtime.describe(),
        )  # fmt: skip
        self.journal = self.journal or Journal(self.folder)
        self.updater.rehearse(self.batch(self.sampler.largest()))
        self._saved_at = time.monotonic()
        self._started = self._saved_at - self.counters.wall_seconds
        done, total = self.counters.update, self._total_updates()
        with Progress("train", total, "updates", self.config.trainer.log_seconds, done=done) as bar:
            try:
                reason = self._until_a_limit(bar, interruption)
            except Interrupted:
                self._save()
                self.folder.checkpoints.wait()
                raise
            except Exception:  # what is being written is good
                self.folder.checkpoints.settle()
                raise
        LOGGER.info("stopped after update %s: %s", f"{self.counters.update:,}", reason)
        self._save()
        self.counters.wall_seconds = self.wall_seconds()
        self.folder.checkpoints.wait()
        self.journal.close()
        return reason

    def batch(self, rows: Any) -> Batch:
        """The training pairs at `rows`, on the CPU."""
        return collate(self.corpora.train, rows, self.corpora.tokenizers)

    def wall_seconds(self) -> float:
        """Since the first update, validations included."""
        return time.monotonic() - self._started

    def _until_a_limit(self, bar: Progress, interruption: Interruption) -> str:
        while True:
            self._save_and_validate_if_due(interruption)  # first what an interruption kept from being done
            reason = self._reason_to_stop()
            if reason is not None:
                if self.counters.validated != self.counters.update:
                    self._validate(interruption)
                return reason
            interruption.check()
            self._update(bar)

    def _update(self, bar: Progress) -> None:
        """The next update, of `accumulate` batches, or those left of the epoch."""
        counters, options = self.counters, self.config.trainer
        start = time.monotonic()
        places = range(counters.batch, min(counters.batch + options.accumulate, len(self.epoch)))
        counters.update += 1
        self.schedule.step(counters.update)
        counters.target_tokens += self.updater.update([self.batch(self.epoch[i]) for i in places])
        counters.batch = places.stop
        if counters.batch == len(self.epoch):
            counters.epoch, counters.batch = counters.epoch + 1, 0
            self.epoch = self.sampler.epoch(counters.epoch)
        seconds = time.monotonic() - start
        counters.seconds += seconds
        self.updater.meter.seconds += seconds
        bar.update(1)
        if counters.update % LOOK_EVERY == 0:
            self._stop_if_lost()
        if counters.update % options.log_every == 0:
            self._report(bar)

    def _report(self, bar: Progress) -> None:
        """A line of metrics.jsonl about the updates since the last one, and from time to time a log line."""
        assert self.journal is not None
        numbers = self.updater.meter.read(self.schedule.learning_rate)
        self.journal.write("train", self.counters.update, self.epochs_done(), numbers)
        if bar.due and numbers["loss"] is not None:
            bar.say(
                "epoch {} update {:,}: loss {loss:.3f} perplexity {perplexity:.2f} {tokens_per_second:,.0f} tokens/s "
                "learning rate {learning_rate:.2e} gradient norm {gradient_norm} {}".format(
                    math.ceil(self.epochs_done()), self.counters.update, _duration(self._seconds_left()), **numbers
                ),
                f"loss {numbers['loss']:.3f} {numbers['tokens_per_second']:,.0f} tokens/s",
            )  # fmt: skip
        if numbers["skipped"]:
            LOGGER.warning(
                "skipped %d of the last %d updates: their loss or gradient was not finite",
                numbers["skipped"], self.config.trainer.log_every,
            )  # fmt: skip

    def _stop_if_lost(self) -> None:
        skipped = self.updater.meter.skipped_in_row()
        if skipped >= self.config.trainer.max_skipped:
            self.folder.checkpoints.wait()
            kept = f"update {self.saved[0]:,} is saved" if self.saved is not None else "nothing was saved yet"
            raise TrainingError(
                f"update {self.counters.update:,}: the loss or gradient of {skipped} updates in a row was not finite "
                f"(trainer.max_skipped={self.config.trainer.max_skipped}); {kept}. Begin again with a lower "
                f"optimizer.learning_rate (now {self.schedule.peak:g}), a longer scheduler.warmup_updates, a smaller "
                "trainer.clip_norm, or precision=fp32"
            )

    def _save_and_validate_if_due(self, interruption: Interruption) -> None:
        """In this order, for a validation can take long, and fail."""
        options = self.config.trainer
        if self._due(options.save_every) or time.monotonic() - self._saved_at >= 60 * options.save_minutes:
            self._save()
        if self._due(options.validate_every) and self.counters.validated != self.counters.update:
            self._validate(interruption)

    def _validate(self, interruption: Interruption) -> None:
        """Scores the model on the validation set, and saves it if it is among the best."""
        assert self.journal is not None
        counters, options = self.counters, self.config.trainer
        with interruption.anywhere(), room_for_search(options.translate_batch):
            scores = self.validator.validate(self.model)
        numbers = asdict(scores)
        counters.validated = counters.update
        counters.scores = {"update": counters.update, "epoch": self.epochs_done(), **numbers}
        counters.rank = scores.to_minimise(options.best) if scores.finite else None
        better = counters.rank is not None and (counters.best_rank is None or counters.rank < counters.best_rank)
        counters.validations_without_better = 0 if better else counters.validations_without_better + 1
        LOGGER.info(
            "valid after update %s (epoch %.2f): loss %.4f perplexity %.3f BLEU %.2f%s",
            f"{counters.update:,}", self.epochs_done(), scores.loss, scores.perplexity, scores.bleu,
            f" (best {options.best})" if better else "",
        )  # fmt: skip
        self.journal.write(
            "valid", counters.update, self.epochs_done(),
            {**numbers, "seconds": round(self.wall_seconds(), 3)},
        )  # fmt: skip
        self.schedule.validated(math.inf if counters.rank is None else counters.rank)
        if better:
            counters.best_rank = counters.rank
        if better or self._among_the_best(counters.rank):
            self._save()

    def _among_the_best(self, rank: float | None) -> bool:
        best = self.folder.checkpoints.ranks()[: self.config.trainer.keep_best]
        return rank is not None and (len(best) < self.config.trainer.keep_best or rank < best[-1])

    def _save(self) -> None:
        """A checkpoint of this update, unless there is one; never of weights that nobody could go on from."""
        counters, options = self.counters, self.config.trainer
        validated = 0 < counters.update == counters.validated
        saving = (counters.update, counters.rank if validated else None)
        if self.saved == saving:
            return
        self._saved_at = time.monotonic()
        if not finite(self.model):
            LOGGER.warning("update %s is not saved: its weights are not all finite", f"{counters.update:,}")
            return
        self.folder.checkpoints.save(
            counters.update,
            self.model,
            self.state_dict(),
            rank=saving[1],
            scores=counters.scores if validated else {},
            keep_last=options.keep_last,
            keep_best=options.keep_best,
        )
        self.saved = saving

    def state_dict(self) -> dict[str, Any]:
        """All but the weights that a training goes on from, as tensors and plain data."""
        assert self.journal is not None
        self.counters.wall_seconds = self.wall_seconds()
        return {
            "updater": self.updater.state_dict(),
            "schedule": self.schedule.state_dict(),
            "counters": asdict(self.counters),
            "random": random_state(self.runtime),
            "journal": self.journal.position(),
        }

    def _due(self, every: int | str) -> bool:
        updates, epochs = interval(every)
        if self.counters.update == 0:
            return False
        if updates is not None:
            return self.counters.update % updates == 0
        assert epochs is not None
        return self.counters.batch == 0 and self.counters.epoch % epochs == 0

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

    def epochs_done(self) -> float:
        return round(self.counters.epoch + self.counters.batch / len(self.epoch), 4)

    def _total_updates(self) -> int | None:
        return last_update(self.config.trainer, self.updates_per_epoch)

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
