"""The training loop: updates until a limit, with validations and checkpoints on the way."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict
from typing import Any

from seq2seq.config import Config
from seq2seq.data.batch import Batch, collate
from seq2seq.data.prepare import Corpora
from seq2seq.data.sampler import BatchSampler
from seq2seq.data.subwords import SubwordSampling
from seq2seq.errors import Interrupted, TrainingError
from seq2seq.manifest import Manifest
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.models.weights import finite
from seq2seq.progress import Progress
from seq2seq.runs import RunFolder
from seq2seq.runtime import Runtime
from seq2seq.training.average import MovingAverage
from seq2seq.training.interruption import Interruption
from seq2seq.training.journal import Journal
from seq2seq.training.limits import Limits
from seq2seq.training.objectives import build_objective
from seq2seq.training.optim import Schedule
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
        self.sampling = SubwordSampling.of(config, corpora.tokenizers)
        first = sampler.epoch(0)
        self.batches_per_epoch = len(first)  # with trainer.batch_tokens, another epoch may have a few more or less
        self.limits = Limits.of(config.trainer, first)
        self.padding_efficiency = sampler.padding_efficiency(first)
        objective = build_objective(config, corpora.tokenizers.target, corpora.limit)
        self.updater = Updater(config, model, runtime, objective)
        self.average = MovingAverage(model, config.trainer.average_decay)
        self.schedule = Schedule(self.updater.optimizer, config.scheduler)
        self.counters = Counters()
        self.epoch = first
        self.saved: tuple[int, float | None] | None = None  # update and rank of the newest checkpoint
        self.journal: Journal | None = None

    def resume(self, manifest: Manifest, state: dict[str, Any]) -> None:
        """Goes on from this state; the weights are in the model already."""
        self.updater.load_state_dict(state["updater"])
        self.average.load_state_dict(state["average"])
        self.schedule.load_state_dict(state["schedule"])
        self.counters = Counters(**state["counters"])
        self.epoch = self.sampler.epoch(self.counters.epoch)
        set_random_state(state["random"], self.runtime)
        self.journal = Journal.open(self.folder, self.config.trainer, state["journal"], self.counters.update)
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
        if self.updater.objective.meaning is not None:
            LOGGER.info("objective=%s: loss is %s", self.config.objective.name, self.updater.objective.meaning)
        self.journal = self.journal or Journal.open(self.folder, self.config.trainer)
        self.updater.rehearse(self.batch(self.sampler.largest()))
        self._saved_at = time.monotonic()
        self._started = self._saved_at - self.counters.wall_seconds
        done, total = self.counters.update, self.limits.last_update
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

    def read(self, place: int) -> Batch:
        """Batch `place` of the epoch, as training reads it."""
        rows = self.epoch[place]
        if self.sampling is None:
            return self.batch(rows)
        drawn = self.sampling.draw(self.corpora.train, rows, self.counters.epoch, place)
        return collate(drawn, range(len(drawn)), self.corpora.tokenizers)

    def wall_seconds(self) -> float:
        """Since the first update, validations included."""
        return time.monotonic() - self._started

    def _until_a_limit(self, bar: Progress, interruption: Interruption) -> str:
        while True:
            self._save_and_validate_if_due(interruption)  # first what an interruption kept from being done
            reason = self.limits.reason_to_stop(self.counters, self.wall_seconds())
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
        counters.target_tokens += self.updater.update([self.read(i) for i in places], counters.update)
        self.average.update()
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
                    math.ceil(self.epochs_done()), self.counters.update,
                    self.limits.time_left(self.counters, self.wall_seconds()), **numbers,
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
        options, since_saving = self.config.trainer, time.monotonic() - self._saved_at
        if self.limits.due(options.save_every, self.counters) or since_saving >= 60 * options.save_minutes:
            self._save()
        if self.limits.due(options.validate_every, self.counters) and self.counters.validated != self.counters.update:
            self._validate(interruption)

    def _validate(self, interruption: Interruption) -> None:
        """Scores the model on the validation set, and saves it if it is among the best."""
        assert self.journal is not None
        counters, options = self.counters, self.config.trainer
        with self.average.applied(), interruption.anywhere(), room_for_search(options.translate_batch):
            scores = self.validator.validate(self.model)
            samples = self.validator.samples(self.journal.samples) if scores.finite else []
        numbers = scores.numbers()
        counters.validated = counters.update
        counters.scores = {"update": counters.update, "epoch": self.epochs_done(), **numbers}
        counters.rank = scores.to_minimise(options.best) if scores.finite else None
        better = counters.rank is not None and (counters.best_rank is None or counters.rank < counters.best_rank)
        counters.validations_without_better = 0 if better else counters.validations_without_better + 1
        LOGGER.info(
            "valid after update %s (epoch %.2f): %s%s",
            f"{counters.update:,}", self.epochs_done(), scores,
            f" (best {options.best})" if better else "",
        )  # fmt: skip
        self.journal.write(
            "valid", counters.update, self.epochs_done(),
            {**numbers, "seconds": round(self.wall_seconds(), 3)},
        )  # fmt: skip
        self.journal.show(counters.update, samples)
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
        with self.average.applied():
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
        """All but the model's weights that a training goes on from, as tensors and plain data."""
        assert self.journal is not None
        self.counters.wall_seconds = self.wall_seconds()
        return {
            "updater": self.updater.state_dict(),
            "average": self.average.state_dict(),
            "schedule": self.schedule.state_dict(),
            "counters": asdict(self.counters),
            "random": random_state(self.runtime),
            "journal": self.journal.position(),
        }

    def epochs_done(self) -> float:
        return round(self.counters.epoch + self.counters.batch / len(self.epoch), 4)
