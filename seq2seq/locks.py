"""A lock on a file, for one process at a time; the system takes it back when its owner dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO


class Lock:
    """Use as a context manager around `acquire`, which says whether it got the lock.

    A record lock of POSIX belongs to a process, so that no child inherits it: a worker that outlives its owner holds
    nothing. It keeps other processes out, and a set in this module other trainings of the same process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None
        self._name = ""  # its real path when it was taken: the working directory may change

    def acquire(self) -> bool:
        """Takes the lock, or says at once that another has it. The folder must exist.

        Raises:
            OSError: the file can't be written, or lies on a disk that knows no locks.
        """
        name = os.path.realpath(self.path)
        if _HELD.get(name) == os.getpid():
            return False
        with ExitStack() as closing:
            file = closing.enter_context(self.path.open("a+", encoding="utf-8"))
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):  # POSIX allows either
                return False
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            closing.pop_all()
        self._file, self._name = file, name
        _HELD[name] = os.getpid()
        return True

    @property
    def held(self) -> bool:
        """By this object, and not by the one that it was copied from in a fork."""
        return self._file is not None and _HELD.get(self._name) == os.getpid()

    def wait(self, seconds: float = 0.2) -> None:
        """Takes the lock as soon as its owner lets go of it."""
        while not self.acquire():
            time.sleep(seconds)

    def owner(self) -> str:
        """Who holds it, as they wrote it down: `process 123 on HOST`."""
        if _HELD.get(os.path.realpath(self.path)) == os.getpid():
            return "this process"  # closing a file of its own would end a process's lock on it
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                owner = file.readline(200).strip()
        except OSError:
            owner = ""
        return owner if owner and owner.isprintable() else "another process"

    def release(self) -> None:
        if self._file is not None:
            _HELD.pop(self._name, None)
            self._file.close()
            self._file = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


_HELD: dict[str, int] = {}  # real paths of the locks taken, and the process that took them: a fork copies this too
