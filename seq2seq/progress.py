"""Progress bars on a terminal, plain log lines elsewhere; the only place that knows tqdm."""

from __future__ import annotations

import logging
import sys
import time
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

from tqdm import tqdm

LOGGER = logging.getLogger("seq2seq")


class Progress:
    """A bar on a terminal's stderr; elsewhere log lines, one whenever `due`, every `every` seconds.

    Use as a context manager. `update` counts; `say` makes the log line, and sets the words behind the bar.
    """

    def __init__(
        self, label: str, total: int | None, unit: str, every: float, shown: bool = True, done: int = 0
    ) -> None:
        self.every, self.done = every, done
        self._last = time.monotonic()
        self._bar: Any = None
        if shown and on_terminal():
            self._bar = tqdm(total=total, initial=done, desc=label, unit=f" {unit}", dynamic_ncols=True, leave=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def due(self) -> bool:
        """Whether it is time for the next log line."""
        return time.monotonic() - self._last >= self.every

    def update(self, count: int) -> None:
        """`count` more are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)

    def say(self, line: str, brief: str = "") -> None:
        """A log line; on a terminal it goes to the log file alone, and `brief` behind the bar."""
        self._last = time.monotonic()
        LOGGER.info(line, extra={"bar": self._bar is not None})
        if self._bar is not None:
            self._bar.set_postfix_str(brief)


def on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class _Terminal(logging.Handler):
    """Log lines on stderr, above a bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "bar", False):
            return
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        try:
            tqdm.write(prefix + record.getMessage(), file=sys.stderr)
            sys.stderr.flush()
        except OSError:  # the terminal, or the reader of `2>&1 | tee log`, is gone; the work isn't
            LOGGER.removeHandler(self)


def log_to_terminal() -> None:
    """Shows the package's log lines on stderr; a second call changes nothing."""
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    if sys.stderr is None:  # `2>&-`
        LOGGER.addHandler(logging.NullHandler())
    elif not any(isinstance(handler, _Terminal) for handler in LOGGER.handlers):
        LOGGER.addHandler(_Terminal())


class _File(logging.FileHandler):
    """A log file; where it can't be written any more, one warning, and the work goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        LOGGER.removeHandler(self)
        LOGGER.warning("%s can't be written any more: %s", self.baseFilename, sys.exc_info()[1])


class LogFile:
    """Copies the package's log lines to a file, with times; what came before the file is known waits in memory."""

    def __init__(self) -> None:
        self._waiting = MemoryHandler(capacity=1_000_000, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
        self._file: _File | None = None

    def __enter__(self) -> LogFile:
        LOGGER.setLevel(logging.INFO)
        LOGGER.addHandler(self._waiting)
        return self

    def __exit__(self, *_: object) -> None:
        for handler in (self._waiting, self._file):
            if handler is not None:
                LOGGER.removeHandler(handler)
                handler.close()

    def write_to(self, path: Path) -> None:
        """From now on into this file, after all that waited."""
        self._file = _File(path, encoding="utf-8", errors="backslashreplace")
        self._file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        self._waiting.setTarget(self._file)
        self._waiting.flush()
        LOGGER.removeHandler(self._waiting)
        LOGGER.addHandler(self._file)
