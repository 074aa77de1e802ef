"""Locks between real processes: refused to the second, gone with the owner, inherited by nobody."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from seq2seq.errors import CheckpointError
from seq2seq.files import refuse_foreign
from seq2seq.locks import Lock

fcntl = pytest.importorskip("fcntl")

HOLDER = """
import os, subprocess, sys, time
from pathlib import Path
from seq2seq.locks import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.acquire()
{then}
print("ready", flush=True)
time.sleep(60)
"""
FORKS = """
if not (child := os.fork()):
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
"""
SPAWNS = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False, pass_fds=())
print(child.pid, flush=True)
"""
INHERITS = """
os.set_inheritable(lock._file.fileno(), True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
print(child.pid, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@pytest.fixture
def holder(path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """holder(then): a process that holds the lock, and one that it has started, or 0."""
    started: list[subprocess.Popen[str]] = []
    children: list[int] = []

    def hold(then: str = "") -> tuple[subprocess.Popen[str], int]:
        program = HOLDER.format(then=then)
        process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        lines = []
        while not lines or lines[-1] != "ready":
            lines.append(process.stdout.readline().strip())
            assert lines[-1], "it ended"
        children.extend(map(int, lines[:-1]))
        return process, children[-1] if children else 0

    yield hold
    for child in children:
        os.kill(child, signal.SIGKILL)
    for process in started:
        process.kill()
        process.communicate()


def taken_elsewhere(path: Path) -> bool:
    """Whether another process finds the lock taken."""
    program = (
        "import sys; from pathlib import Path; from seq2seq.locks import Lock; print(Lock(Path(sys.argv[1])).acquire())"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    return {"True": False, "False": True}[done.stdout.strip()]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def in_fork(look: Callable[[], bool]) -> bool:
    """What `look` says in a forked child."""
    child = os.fork()
    if not child:
        os._exit(0 if look() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_second_process_is_refused_and_told_who_is_first(path: Path, holder) -> None:
    process, _ = holder()
    lock = Lock(path)
    assert not lock.acquire()
    assert not lock.held
    assert lock.owner() == f"process {process.pid} on {socket.gethostname()}"
    lock.release()
    assert not Lock(path).acquire()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_dies_with_its_owner(path: Path, holder, number: int) -> None:
    process, _ = holder()
    assert not Lock(path).acquire()
    process.send_signal(number)
    process.wait()
    with Lock(path) as lock:
        assert lock.acquire()
        assert path.read_text().split()[1] == str(os.getpid())


@pytest.mark.parametrize("then", [FORKS, SPAWNS, INHERITS], ids=["forked", "spawned", "with the file open"])
def test_a_child_that_outlives_the_owner_holds_nothing(path: Path, holder, then: str) -> None:
    process, child = holder(then)
    assert not Lock(path).acquire()
    process.kill()
    process.wait()
    assert alive(child)
    with Lock(path) as lock:
        assert lock.acquire()


def test_one_process_takes_it_once(path: Path) -> None:
    with Lock(path) as first, Lock(path) as second, Lock(path.parent / "." / ".lock") as third:
        assert first.acquire()
        assert first.held
        assert not first.acquire()
        assert not second.acquire()
        assert not third.acquire()
        assert not second.held
        second.release()  # of what it doesn't have
        assert taken_elsewhere(path)
        first.release()
        assert not first.held
        assert second.acquire()
        first.release()
        assert second.held
        assert taken_elsewhere(path)
    assert not taken_elsewhere(path)


def test_a_link_to_the_lock_is_the_same_lock(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "name").symlink_to("run")
    with Lock(tmp_path / "run" / ".lock") as one, Lock(tmp_path / "name" / ".lock") as other:
        assert one.acquire()
        assert not other.acquire()


def test_different_locks_are_independent(tmp_path: Path) -> None:
    with Lock(tmp_path / "a") as one, Lock(tmp_path / "b") as other:
        assert one.acquire()
        assert other.acquire()


def test_asking_who_holds_it_does_not_let_go_of_it(path: Path) -> None:
    """A process that closes any descriptor of a file loses all its locks on it."""
    with Lock(path) as lock:
        assert lock.acquire()
        assert Lock(path).owner() == "this process"
        assert lock.owner() == "this process"
        assert not Lock(path).acquire()
        refuse_foreign(path.parent)
        assert taken_elsewhere(path)
        with path.open():  # what the test is about: were ours to open it, the lock would be gone
            pass
        assert not taken_elsewhere(path)


def test_a_forked_child_does_not_think_that_it_holds_it(path: Path) -> None:
    with Lock(path) as lock:
        assert lock.acquire()
        assert in_fork(lambda: not lock.held)
        assert in_fork(lambda: not Lock(path).acquire())
        assert in_fork(lambda: Lock(path).owner() == f"process {os.getppid()} on {socket.gethostname()}")
        assert in_fork(lambda: lock.release() is None)
        assert lock.held
        assert taken_elsewhere(path)


def test_the_lock_is_let_go_of_from_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lock = Lock(Path(".lock"))
    assert lock.acquire()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert lock.held
    lock.release()
    with Lock(tmp_path / ".lock") as again:
        assert again.acquire()


def test_waiting_ends_with_the_owner(path: Path, holder) -> None:
    process, _ = holder()
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {process.pid}"])
    start = time.monotonic()
    with Lock(path) as lock:
        lock.wait(0.02)
        assert lock.held
    assert time.monotonic() - start > 0.2
    killer.wait()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n", b"\x1b[2Jprocess 1\n", b"x" * 10_000])
def test_what_the_file_says_is_not_believed_blindly(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    owner = Lock(path).owner()
    assert owner.isprintable()
    assert 0 < len(owner) <= 200


def test_a_lock_that_nobody_made_has_no_known_owner(path: Path) -> None:
    assert Lock(path).owner() == "another process"


def test_a_disk_without_locks_is_not_a_disk_where_others_hold_them(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", fail)
    with pytest.raises(OSError, match="No locks available"):
        Lock(path).acquire()


def test_a_lock_that_cannot_be_written_is_not_held(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=re.escape("No such file or directory")):
        Lock(tmp_path / "no" / ".lock").acquire()


class Full:
    """A file on a full disk."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.fileno, self.truncate, self.flush = file.fileno, file.truncate, file.flush

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, _: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_lock_on_a_full_disk_is_let_go_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, opened = Lock(path), Path.open
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *arguments, **options: Full(opened(*arguments, **options)))
        with pytest.raises(OSError, match="No space left on device"):
            lock.acquire()
    assert not lock.held
    assert not taken_elsewhere(path)
    lock.release()
    assert lock.acquire()
    lock.release()


def test_a_pipe_in_its_place_is_refused_before_it_is_opened(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="is neither a file nor a folder"):
        refuse_foreign(path.parent)
