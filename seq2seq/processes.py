"""Work in processes of their own, in order, with a bounded number of requests under way.

Not `multiprocessing`: it would import the user's script once more in every process, which must then be written for it.
Here a process is a Python that knows this package and two pipes. It starts without torch, inherits no lock and no open
file, and ends with the process that started it, however that ends: then its pipe closes.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from logging.handlers import BufferingHandler
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from seq2seq.errors import DataError

LOGGER = logging.getLogger("seq2seq")
START = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from seq2seq.processes import serve; serve()"
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Purpose(NamedTuple):
    """For messages: what processes do, the option that says how many there are, and how few do with little memory."""

    work: str
    option: str | None = None
    fewest: int = 1

    def advice(self, number: int, otherwise: str) -> str:
        """To have so many processes, or to do otherwise."""
        return otherwise if self.option is None else f"set {self.option}={number} or {otherwise}"


class ProcessError(DataError):
    """A process that can't be started, can't be given its task, or has died."""


def pickled(task: Callable[[Any], Any], purpose: Purpose) -> bytes:
    """What processes are given. ProcessError where the task is made of what no module has."""
    try:
        return pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        advice = purpose.advice(0, "define what it is made of at the top of a module")
        raise ProcessError(f"nothing can be given to a process that {purpose.work} ({error}); {advice}") from error


class Process:
    """A process that calls one task; task, requests and answers must pickle. Use as a context manager.

    Raises:
        ProcessError: it can't be started, or doesn't know what the task is made of; when asked: it has died.
    """

    def __init__(self, task: bytes, purpose: Purpose) -> None:
        self.purpose = purpose
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            advice = purpose.advice(0, "end others")
            raise ProcessError(f"no process can be started: {error.strerror}; {advice}") from error
        try:
            self._send([path or os.getcwd() for path in sys.path])
            self._send(purpose)
            self._send(task)  # as bytes, which arrive whole, also where no task can be made of them
            self._answer()
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, task: Callable[[Any], Any], purpose: Purpose) -> Process:
        return cls(pickled(task, purpose), purpose)

    def ask(self, request: Any) -> Any:
        """The task's answer, or what it raised; ProcessError where the process has died."""
        self._send(request)
        return self._answer()

    def close(self) -> None:
        """Ends the process; it holds nothing that could be lost."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # of what a process that died had still to be sent
                pipe.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        try:
            logged, error, answer = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise self._died() from None
        for level, line in logged:
            LOGGER.log(level, line)
        if error is not None:
            raise error
        return answer

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _died(self) -> ProcessError:
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        advice = self.purpose.advice(self.purpose.fewest, "make room")
        return ProcessError(
            f"a process that {self.purpose.work} has died ({how}); if memory ran out, {advice}, and start again"
        )


class Crew:
    """Several processes that stand ready for one task. Use as a context manager."""

    def __init__(self, task: Callable[[Any], Any], processes: int, purpose: Purpose) -> None:
        self.size = processes
        self._idle: SimpleQueue[Process] = SimpleQueue()
        self._processes: list[Process] = []
        given = pickled(task, purpose)
        self._threads = ThreadPoolExecutor(processes)

        def start(_: int) -> None:  # a task of many megabytes takes its time through a pipe
            process = Process(given, purpose)
            self._processes.append(process)
            self._idle.put(process)

        try:
            list(self._threads.map(start, range(processes)))
        except BaseException:
            self._threads.shutdown(cancel_futures=True)  # those that are starting are then known, and end
            self.close()
            raise

    def answers(self, requests: Iterable[Any]) -> Generator[Any, None, None]:
        """task(request) of each request, in their order; few are taken before their answers are."""
        under_way: deque[Future[Any]] = deque()
        try:
            for request in requests:
                under_way.append(self._threads.submit(self._ask, request))
                if len(under_way) > 2 * self.size:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:  # nobody waits for these any more
                future.cancel()

    def close(self) -> None:
        """Ends the processes, and with them whatever they still had to do."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.close()
        self._threads.shutdown()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: Any) -> Any:
        process = self._idle.get()
        try:
            return process.ask(request)
        finally:
            self._idle.put(process)


def in_order(
    task: Callable[[Request], Answer], requests: Iterable[Request], processes: int, purpose: Purpose
) -> Iterator[Answer]:
    """task(request) of each request, in their order, by `processes` processes; by this one where there are none."""
    if processes == 0:
        yield from map(task, requests)
        return
    with Crew(task, processes, purpose) as crew:
        yield from crew.answers(requests)


def serve() -> None:
    """What such a process does: it reads the task and says whether it can; then it answers requests.

    An answer is log lines, an error or None, and what the task gave.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the one that started this decides
    threading.Thread(target=_end_with_starter, daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    logged = BufferingHandler(1_000_000)
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(logged)
    LOGGER.propagate = False
    purpose: Purpose = pickle.load(sys.stdin.buffer)
    error: Exception | None = None
    answer = None
    try:
        task = pickle.loads(pickle.load(sys.stdin.buffer))
    except (AttributeError, ImportError) as raised:
        advice = purpose.advice(0, "define it in a module that can be imported")
        message = f"a process that {purpose.work} doesn't know all that this one does ({raised}); {advice}"
        error = ProcessError(message)
    while True:
        lines = [(record.levelno, record.getMessage()) for record in logged.buffer]
        logged.buffer.clear()
        pickle.dump((lines, error, answer), answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        error, answer = None, None
        try:
            answer = task(request)
        except Exception as raised:
            raised.add_note(traceback.format_exc())
            error = raised


def _end_with_starter() -> None:
    """Waits for the other end of stdin to close, even while the main thread works."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(0, 0)  # no event but the hang-up, which is always told
        poll.poll()
        os._exit(0)
