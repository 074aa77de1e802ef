"""Processes that work in order, fail loudly, and outlive nobody."""

import operator
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import seq2seq
from seq2seq import processes as module
from seq2seq.errors import ConfigError, DataError
from seq2seq.processes import Crew, Process, Purpose, in_order

ROOT = Path(seq2seq.__file__).parent.parent
RUNNING = "import sys, time; sys.path.insert(0, {root!r}); from seq2seq.processes import Process, Purpose\n{rest}"

COUNTING = Purpose("counts", "count.workers")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    """The processes that `in_order` starts."""
    processes: list[Process] = []

    class Recorded(Process):
        def __init__(self, task: bytes, purpose: Purpose) -> None:
            super().__init__(task, purpose)
            processes.append(self)

    monkeypatch.setattr(module, "Process", Recorded)
    return processes


def alive(pid: int) -> bool:
    """Whether it still runs; one that waits to be buried doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def ended(process: Process) -> bool:
    return process._process.poll() is not None


@pytest.mark.parametrize("processes", [0, 2])
def test_answers_come_in_the_order_of_the_requests(processes: int, started: list[Process]) -> None:
    assert list(in_order(operator.neg, range(40), processes, COUNTING)) == [-i for i in range(40)]
    assert len(started) == processes
    assert all(map(ended, started))


def test_few_requests_are_under_way(started: list[Process]) -> None:
    taken: list[int] = []

    def requests() -> Iterator[int]:
        for i in range(1000):
            taken.append(i)
            yield i

    answers = in_order(operator.neg, requests(), 2, COUNTING)
    assert [next(answers) for _ in range(3)] == [0, -1, -2]
    assert len(taken) <= 8
    answers.close()  # type: ignore[attr-defined]
    assert all(map(ended, started))


def test_a_process_starts_without_torch() -> None:
    with Process.of(eval, COUNTING) as process:
        assert process.ask("__import__('seq2seq.data.encode') and 'torch' in __import__('sys').modules") is False


def test_what_a_task_raises_is_raised_here(started: list[Process]) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(in_order(int, ["1", "x", "2"], 2, COUNTING))
    assert all(map(ended, started))
    with Process.of(eval, COUNTING) as process, pytest.raises(ConfigError) as raised:
        process.ask("(_ for _ in ()).throw(__import__('seq2seq.errors').errors.ConfigError('no such option'))")
    assert str(raised.value) == "no such option"


def test_log_lines_are_said_here(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="seq2seq"), Process.of(eval, COUNTING) as process:
        process.ask("__import__('logging').getLogger('seq2seq').info('%s pieces', 5)")
    assert [record.getMessage() for record in caplog.records] == ["5 pieces"]


def test_what_is_printed_is_no_answer() -> None:
    with Process.of(eval, COUNTING) as process:
        assert process.ask("print('noise') or __import__('os').system('echo noise') or 7") == 7


@pytest.mark.parametrize("processes", [1, 2])
def test_one_that_dies_is_an_error_and_no_hang(processes: int, started: list[Process]) -> None:
    with pytest.raises(DataError) as raised:
        list(in_order(os._exit, [3] * 20, processes, COUNTING))
    assert str(raised.value) == (
        "a process that counts has died (exit code 3); if memory ran out, set count.workers=1 or make room, and start "
        "again"
    )
    assert all(map(ended, started))


def test_one_that_is_killed_is_an_error() -> None:
    with Process.of(time.sleep, COUNTING) as process:
        threading.Timer(0.3, process._process.kill).start()
        with pytest.raises(DataError, match=r"has died \(signal 9\)"):
            process.ask(60)
        with pytest.raises(DataError, match=r"has died \(signal 9\)"):
            process.ask(b"a" * 10_000_000)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("busy", [True, False])
def test_it_ends_with_the_one_that_started_it(busy: bool) -> None:
    rest = (
        "process = Process.of(time.sleep, Purpose('waits')); process.ask(0); print(process._process.pid, flush=True); "
    )
    program = RUNNING.format(root=str(ROOT), rest=rest + ("process.ask(60)" if busy else "time.sleep(60)"))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.2)
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 10
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not alive(pid)


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """It isn't run again in each process, and its folder's modules don't shadow Python's."""
    (tmp_path / "pickle.py").write_text("raise SystemExit('the wrong one')")
    rest = "print('once')\nwith Process.of(abs, Purpose('counts')) as process: print(process.ask(-5))"
    program = RUNNING.format(root=str(ROOT), rest=rest)
    (tmp_path / "script.py").write_text(f"import sys; own = sys.path.pop(0); import pickle\n{program}")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("once\n5\n", "")


def test_a_crew_answers_again_and_again_and_after_an_error(started: list[Process]) -> None:
    with Crew(int, 2, COUNTING) as crew:
        assert list(crew.answers(map(str, range(9)))) == list(range(9))
        with pytest.raises(ValueError, match="invalid literal"):
            list(crew.answers(["1", "x", *"23456789"]))
        assert list(crew.answers(["7"])) == [7]
        assert len(started) == 2
    assert all(map(ended, started))


def test_a_task_that_only_the_script_knows() -> None:
    rest = (
        "from seq2seq.processes import ProcessError\ndef own(_): ...\n"
        "try: Process.of(own, Purpose('counts', 'count.workers'))\nexcept ProcessError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", RUNNING.format(root=str(ROOT), rest=rest)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("a process that counts doesn't know all that this one does (")
    assert done.stdout.endswith("); set count.workers=0 or define it in a module that can be imported\n")
    assert done.stderr == ""


def test_a_task_that_cannot_be_sent() -> None:
    with pytest.raises(
        DataError, match=r"^nothing can be given to a process that counts \(.*\); set count.workers=0 or"
    ):
        Process.of(lambda _: None, COUNTING)


def test_answers_that_nobody_waits_for_any_more_are_not_made(started: list[Process], tmp_path: Path) -> None:
    """Only those that a process is busy with; the next answers don't wait behind the others."""
    with Crew(eval, 1, COUNTING) as crew:
        made = "__import__('time').sleep(0.3) or open({!r}, 'a').write('x')".format(str(tmp_path / "made"))
        answers = crew.answers([made] * 20)
        next(answers)
        answers.close()
        assert list(crew.answers(["1 + 1"])) == [2]
        assert len((tmp_path / "made").read_text()) <= 2


def test_a_crew_that_cannot_start_leaves_no_process(started: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    """One fails at once, while the others are still on their way."""
    lock, left = threading.Lock(), [3]
    run = subprocess.Popen

    def popen(*words: Any, **options: Any) -> Any:
        with lock:
            left[0] -= 1
            if left[0] == 1:
                raise OSError(11, "Resource temporarily unavailable")
        return run(*words, **options)

    monkeypatch.setattr(module.subprocess, "Popen", popen)
    with pytest.raises(DataError, match=r"^no process can be started: Resource temporarily unavailable; set count"):
        Crew(abs, 3, COUNTING)
    assert len(started) == 2
    assert all(map(ended, started))
