"""SIGINT and SIGTERM as a request to stop at the next safe moment, so that nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from seq2seq.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Use as a context manager around a training. The second Ctrl-C quits at once, as Python does without this.

    Signals reach only a process's main thread; in another one nothing changes.
    """

    def __init__(self) -> None:
        self._asked: signal.Signals | None = None
        self._anywhere = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set from Python
        if kind is None:
            self.check()  # a signal since the last safe moment isn't lost: a sweep ends with this job

    def check(self) -> None:
        """The safe moment: raises Interrupted if a signal has come."""
        if self._asked is not None:
            raise Interrupted(f"interrupted ({self._asked.name})", self._asked)

    @contextmanager
    def anywhere(self) -> Iterator[None]:
        """Around what can be broken off at any point, for it changes nothing: Interrupted comes at once."""
        self._anywhere = True
        try:
            self.check()
            yield
        finally:
            self._anywhere = False

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt("quit at once; the last checkpoint is whole")
        self._asked = self._asked or signal.Signals(number)
        if self._anywhere:
            self._anywhere = False  # once: what follows saves, and no other signal is to break into that
            self.check()
