"""A training that is measured: the sampler's batches, collated and learnt from as train.py does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count, islice
from typing import NamedTuple

from torch import Tensor

from seq2seq.benchmark.machine import peak_bytes
from seq2seq.benchmark.material import Material
from seq2seq.config import Config
from seq2seq.data.batch import Batch, collate
from seq2seq.data.sampler import BatchSampler
from seq2seq.models.seq2seq import Seq2Seq
from seq2seq.runtime import Runtime
from seq2seq.training.objectives import build_objective
from seq2seq.training.optim import Schedule, last_update
from seq2seq.training.state import random_state, set_random_state
from seq2seq.training.updater import Updater


class Stretch(NamedTuple):
    """Some updates: their real target tokens, their seconds, and how many of these went into ordering epochs."""

    tokens: int
    seconds: float
    ordering: float


class Training:
    """A model in training, a fresh one by default; `run` goes on where it stopped, whatever was measured in between.

    losses: the mean loss a token of every `report_every` updates; epoch: the first one's batches.
    """

    def __init__(
        self,
        config: Config,
        material: Material,
        runtime: Runtime,
        report_every: int = 50,
        model: Seq2Seq | None = None,
    ) -> None:
        self.material, self.runtime, self.report_every = material, runtime, report_every
        self.model = (model or material.fresh(config)).to(runtime.device)
        objective = build_objective(config, material.tokenizers.target, material.limit)
        self.updater = Updater(config, self.model, runtime, objective)
        self.sampler = BatchSampler.of(material.corpus, config.trainer, config.seed)
        self.accumulate = config.trainer.accumulate
        self.epoch = self.sampler.epoch(0)
        last = last_update(config.trainer, -(-len(self.epoch) // self.accumulate))
        self.schedule = Schedule(self.updater.optimizer, config.scheduler.ending(last))
        self.updates, self.ordering = 0, 0.0
        self.losses: list[float] = []
        self._batches = self._all_batches()
        self._random = random_state(runtime)

    def run(self, updates: int) -> Stretch:
        """So many updates more."""
        set_random_state(self._random, self.runtime)
        self.runtime.synchronize()
        start, ordering, tokens = time.perf_counter(), self.ordering, 0
        for _ in range(updates):
            self.updates += 1
            self.schedule.step(self.updates)
            tokens += self.updater.update(list(islice(self._batches, self.accumulate)), self.updates)
            if self.updates % self.report_every == 0:
                self.losses.append(self.updater.meter.read(self.schedule.learning_rate)["loss"])
        self.runtime.synchronize()
        seconds = time.perf_counter() - start
        self._random = random_state(self.runtime)
        return Stretch(tokens, seconds, self.ordering - ordering)

    def first(self) -> Batch:
        """The first batch of all."""
        return self._collated(self.epoch[0])

    def ordering_seconds(self) -> float:
        """What it takes now to order the pairs of an epoch and to cut them into batches."""
        start = time.perf_counter()
        self.sampler.epoch(1)
        return time.perf_counter() - start

    def peak_bytes(self, updates: int) -> int:
        """The peak of this process's memory after so many updates and a rehearsal of the largest batch."""
        self.updater.rehearse(self._collated(self.sampler.largest()))
        self.run(updates)
        return peak_bytes(self.runtime)

    def _all_batches(self) -> Iterator[Batch]:
        for number in count():
            start = time.perf_counter()
            epoch = self.sampler.epoch(number)
            self.ordering += time.perf_counter() - start
            yield from map(self._collated, epoch)

    def _collated(self, rows: Tensor) -> Batch:
        return collate(self.material.corpus, rows, self.material.tokenizers)
