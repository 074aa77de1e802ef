"""A translator's batches spread over processes."""

from __future__ import annotations

import copy
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, cast

import torch

from seq2seq.errors import ConfigError
from seq2seq.options import Auto, Precision, RuntimeConfig
from seq2seq.processes import Crew, ProcessError, Purpose
from seq2seq.runtime import Runtime

if TYPE_CHECKING:
    from seq2seq.evaluation.translator import Request, Translator
    from seq2seq.search.history import Hypothesis

LOGGER = logging.getLogger("seq2seq")
MOST_WORKERS = 8  # that nobody asked for: each takes a few hundred megabytes,
SECONDS_ALONE = 10.0  # and a few seconds to start, which must be worth it


@contextmanager
def spread(translator: Translator, workers: int | Auto) -> Iterator[Translator]:
    """See `Translator.spread`."""
    other = copy.copy(translator)
    with ExitStack() as stack:
        if workers == "auto":
            other.crew = Later(translator, stack) if _several(translator.runtime) else None
        elif workers:
            check_spread(workers, translator.runtime)
            other.crew = stack.enter_context(_crew(translator, workers))
        try:
            yield other
        finally:
            other.crew = None


class Later:
    """This process alone, until the work has taken SECONDS_ALONE; from then on a process a thread.

    What nobody asked for is done without: where processes can't be started, or have died, this one goes on.
    """

    def __init__(self, translator: Translator, stack: ExitStack) -> None:
        self.task = translator.found_together
        self.size = min(translator.runtime.threads, MOST_WORKERS)
        self.translator, self.stack = translator, stack
        self.seconds = 0.0  # of work alone
        self.crew: Crew | None = None
        self.refused = False

    def answers(self, requests: Iterable[Request]) -> Iterator[list[list[Hypothesis]]]:
        """To each request, in their order."""
        requests = iter(requests)
        for request in requests:
            if self._is_time():
                yield from self._by_crew(chain([request], requests))
                return
            start = time.monotonic()
            answer = self.task(request)
            self.seconds += time.monotonic() - start
            yield answer

    def _is_time(self) -> bool:
        if self.crew is None and not self.refused and self.seconds >= SECONDS_ALONE:
            try:
                self.crew = self.stack.enter_context(_crew(self.translator, self.size))
            except ProcessError as error:
                self._refuse(error)
        return self.crew is not None

    def _by_crew(self, requests: Iterator[Request]) -> Iterator[list[list[Hypothesis]]]:
        assert self.crew is not None
        asked: deque[Request] = deque()  # and not answered

        def asking() -> Iterator[Request]:
            for request in requests:
                asked.append(request)
                yield request

        try:
            for answer in self.crew.answers(asking()):
                asked.popleft()
                yield answer
        except ProcessError as error:
            self._refuse(error)
            yield from map(self.task, chain(list(asked), requests))

    def _refuse(self, error: ProcessError) -> None:
        LOGGER.warning("%s: going on in one process", error)
        if self.crew is not None:
            self.crew.close()  # what is left of it would only take memory
        self.crew, self.refused = None, True


def _several(runtime: Runtime) -> bool:
    """Whether there is more than one core to divide."""
    return runtime.device.type == "cpu" and runtime.threads > 1


def _crew(translator: Translator, workers: int) -> Crew:
    return Crew(_BatchTask(translator, workers), workers, Purpose("translates", "workers", fewest=0))


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
