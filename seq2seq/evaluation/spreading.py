"""A translator's batches spread over processes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch

from seq2seq.errors import ConfigError
from seq2seq.options import Precision, RuntimeConfig
from seq2seq.processes import Crew, Purpose
from seq2seq.runtime import Runtime

if TYPE_CHECKING:
    from seq2seq.evaluation.translator import Request, Translator
    from seq2seq.search.history import Hypothesis


@contextmanager
def spread(translator: Translator, workers: int) -> Iterator[Translator]:
    """See `Translator.spread`."""
    check_spread(workers, translator.runtime)
    other = copy.copy(translator)
    if workers == 0:
        yield other
        return
    with Crew(_BatchTask(translator, workers), workers, Purpose("translates", "workers", fewest=0)) as other.crew:
        try:
            yield other
        finally:
            other.crew = None


def check_spread(workers: int, runtime: Runtime) -> None:
    """ConfigError where there is nothing that processes could divide."""
    if workers and runtime.device.type != "cpu":
        raise ConfigError(f"workers={workers}: only a CPU's work is spread, and the device is {runtime.device}")


class _BatchTask:
    """What one of the processes does, from its copy of the translator."""

    def __init__(self, translator: Translator, workers: int) -> None:
        self.translator, self.ready = copy.copy(translator), False
        self.translator.crew = None
        precision, threads = cast(Precision, translator.runtime.precision), translator.runtime.threads
        deterministic = torch.are_deterministic_algorithms_enabled()
        self.asked = RuntimeConfig("cpu", precision, max(1, threads // workers), deterministic)

    def __call__(self, request: Request) -> list[list[Hypothesis]]:
        if not self.ready:  # its own threads and settings, before its first product
            Runtime.resolve(self.asked, training=False)
            self.ready = True
        return self.translator.found_together(request)
