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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from logging.handlers import BufferingHandler
from queue import SimpleQueue
from typing import Any, TypeVar

from seq2seq.errors import DataError

LOGGER = logging.getLogger("seq2seq")
START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from seq2seq.data.processes import serve; serve()"
)
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Process:
    """A process that calls one `task`; task, requests and answers must pickle. Use as a context manager."""

    def __init__(self, task: Callable[[Any], Any]) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise DataError(f"no process can be started: {error.strerror}; set data.workers=0") from error
        try:
            self._send([path or os.getcwd() for path in sys.path])
            self._send(task)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Any) -> Any:
        """The task's answer, or what it raised; DataError where the process has died."""
        self._send(request)
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

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _died(self) -> DataError:
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return DataError(
            f"a process that prepares the training data has died ({how}); if memory ran out, set data.workers=1 "
            "or make room, and start again"
        )


def in_order(task: Callable[[Request], Answer], requests: Iterable[Request], processes: int) -> Iterator[Answer]:
    """task(request) of each request, in their order, by `processes` processes; by this one where there are none."""
    if processes == 0:
        yield from map(task, requests)
        return
    idle: SimpleQueue[Process] = SimpleQueue()

    def asked(request: Request) -> Any:
        process = idle.get()
        try:
            return process.ask(request)
        finally:
            idle.put(process)

    under_way: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(processes) as threads, ExitStack() as crew:
        for _ in range(processes):
            idle.put(crew.enter_context(Process(task)))
        for request in requests:
            under_way.append(threads.submit(asked, request))
            if len(under_way) > 2 * processes:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def serve() -> None:
    """What such a process does: reads the task, then answers requests with log lines, an error or None, an answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the one that started this decides
    threading.Thread(target=_end_with_starter, daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    logged = BufferingHandler(1_000_000)
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(logged)
    LOGGER.propagate = False
    task = pickle.load(sys.stdin.buffer)
    while True:
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
        lines = [(record.levelno, record.getMessage()) for record in logged.buffer]
        logged.buffer.clear()
        pickle.dump((lines, error, answer), answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


def _end_with_starter() -> None:
    """Waits for the other end of stdin to close, even while the main thread works."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(0, 0)  # no event but the hang-up, which is always told
        poll.poll()
        os._exit(0)
