"""Real signals, sent to this process and to others: a request at first, and at once where that does no harm."""

# ruff: noqa: PT012  # what breaks into a block of statements is the matter here

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from seq2seq.errors import Interrupted
from seq2seq.training.interruption import SIGNALS, Interruption

BOTH = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[Any, Any]]:
    """Python's own while a test runs; whatever the test left is put right after it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    """To this process; its handler has run when this returns, or raised."""
    signal.raise_signal(number)


@BOTH
def test_the_first_signal_waits_for_the_safe_moment(number: signal.Signals) -> None:
    done = []
    with pytest.raises(Interrupted, match=rf"interrupted \({number.name}\)") as raised, Interruption() as interruption:
        interruption.check()
        os.kill(os.getpid(), number)
        done.append("the update")
        interruption.check()
        done.append("the next one")
    assert done == ["the update"]
    assert raised.value.signal == number
    assert isinstance(raised.value, KeyboardInterrupt)  # so that `except Exception` doesn't swallow it


@BOTH
def test_anywhere_it_breaks_at_once(number: signal.Signals) -> None:
    done = []
    with pytest.raises(Interrupted) as raised, Interruption() as interruption, interruption.anywhere():
        done.append("before")
        send(number)
        done.append("after")
    assert done == ["before"]
    assert raised.value.signal == number


@BOTH
def test_anywhere_begins_with_the_safe_moment_and_ends_with_it(number: signal.Signals) -> None:
    with pytest.raises(Interrupted), Interruption() as interruption:
        send(number)
        with interruption.anywhere():
            pytest.fail("begun all the same")
    interruption = Interruption()
    with pytest.raises(Interrupted), interruption:
        with interruption.anywhere():
            pass
        send(number)  # breaks into nothing any more
        interruption.check()


def test_the_second_ctrl_c_quits_at_once() -> None:
    with pytest.raises(KeyboardInterrupt, match="quit at once") as raised, Interruption():
        send(signal.SIGINT)
        send(signal.SIGINT)
        pytest.fail("went on")
    assert not isinstance(raised.value, Interrupted)


def test_ctrl_c_after_a_sigterm_quits_at_once() -> None:
    with pytest.raises(KeyboardInterrupt, match="quit at once"), Interruption():
        send(signal.SIGTERM)
        send(signal.SIGINT)
        pytest.fail("went on")


@BOTH
def test_sigterm_again_and_again_stays_the_same_request(number: signal.Signals) -> None:
    """The exit code is that of the first."""
    with pytest.raises(Interrupted) as raised, Interruption() as interruption:
        send(number)
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        interruption.check()
    assert raised.value.signal == number


@BOTH
def test_what_follows_an_interruption_is_not_broken_into(number: signal.Signals) -> None:
    """A second SIGTERM while the first one's request is being saved, or before `anywhere` has been left."""
    done = []
    with pytest.raises(Interrupted), Interruption() as interruption:
        try:
            with interruption.anywhere():
                try:
                    send(number)
                finally:
                    send(signal.SIGTERM)
                    done.append("left")
        except Interrupted:
            send(signal.SIGTERM)
            done.append("saved")
            raise
    assert done == ["left", "saved"]


def test_a_signal_in_the_last_moment_of_anywhere_leaves_nothing_behind() -> None:
    """At every line of it and of what it calls: afterwards no signal breaks into anything."""
    lines = moments(None)
    assert lines > 5
    for moment in range(lines):
        moments(moment)


def moments(at: int | None) -> int:
    """Goes through `anywhere` line by line, and sends SIGTERM before line number `at`; gives the number of lines."""
    seen = 0

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal seen
        if frame.f_code.co_filename == Interruption.anywhere.__wrapped__.__code__.co_filename:  # type: ignore[attr-defined]
            if event == "line" and frame.f_code.co_name in ("anywhere", "check"):
                if seen == at:
                    seen += 1
                    send(signal.SIGTERM)
                seen += 1
            return trace
        return None

    with Interruption() as interruption:
        outside = sys.gettrace()
        try:
            sys.settrace(trace)
            with interruption.anywhere():
                pass
        except Interrupted:
            pass
        finally:
            sys.settrace(outside)
        try:
            send(signal.SIGTERM)  # what is done here is a saving
        except Interrupted:
            pytest.fail(f"broken into, after a signal before line {at}")
        interruption._asked = None
    return seen


def test_handlers_are_put_back(handlers: dict[Any, Any]) -> None:
    with Interruption():
        assert all(signal.getsignal(number) != handler for number, handler in handlers.items())
    assert {number: signal.getsignal(number) for number in SIGNALS} == handlers
    with pytest.raises(ZeroDivisionError), Interruption():
        raise ZeroDivisionError
    assert {number: signal.getsignal(number) for number in SIGNALS} == handlers


@BOTH
def test_a_request_that_nobody_looked_at_isn_t_lost(number: signal.Signals, handlers: dict[Any, Any]) -> None:
    """It came after the last safe moment: the job is done, but whoever runs several must hear of it."""
    with pytest.raises(Interrupted) as raised, Interruption():
        send(number)
    assert raised.value.signal == number
    assert {number: signal.getsignal(number) for number in SIGNALS} == handlers


def test_another_error_isn_t_hidden_by_a_request() -> None:
    with pytest.raises(ZeroDivisionError), Interruption():
        send(signal.SIGTERM)
        raise ZeroDivisionError


def test_in_another_thread_nothing_changes(handlers: dict[Any, Any]) -> None:
    found: dict[str, Any] = {}

    def train() -> None:
        with Interruption() as interruption:
            found["handlers"] = {number: signal.getsignal(number) for number in SIGNALS}
            interruption.check()
            with interruption.anywhere():
                found["done"] = True

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found == {"handlers": handlers, "done": True}


PROCESS = textwrap.dedent(
    """
    import signal, sys, time
    from seq2seq.errors import Interrupted
    from seq2seq.training.interruption import Interruption

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started this ignores
    anywhere = sys.argv[1] == "anywhere"
    def ask():
        print("ready", flush=True)
        end = time.monotonic() + 20
        while interruption._asked is None and time.monotonic() < end:
            time.sleep(0.01)
    try:
        with Interruption() as interruption:
            if anywhere:
                with interruption.anywhere():
                    print("ready", flush=True)
                    time.sleep(20)
                    print("slept on", flush=True)
            ask()
            print("update done", flush=True)
            if sys.argv[1] == "twice":
                print("ready", flush=True)
                time.sleep(20)
            interruption.check()
            print("went on", flush=True)
    except Interrupted as error:
        print("saved", flush=True)
        sys.exit(128 + error.signal)
    """
)


def process(how: str, *numbers: signal.Signals) -> tuple[int, list[str]]:
    """Exit code and lines of a process that gets these signals, each when it is ready for it."""
    with subprocess.Popen([sys.executable, "-c", PROCESS, how], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = []
        for number in numbers:
            while (line := child.stdout.readline().strip()) not in ("ready", ""):
                lines.append(line)
            child.send_signal(number)
        rest, _ = child.communicate(timeout=30)
    return child.returncode, [*lines, *rest.split("\n")[:-1]]


@BOTH
def test_a_process_saves_and_exits_with_the_signals_code(number: signal.Signals) -> None:
    assert process("update", number) == (128 + number, ["update done", "saved"])


def test_a_process_that_may_be_broken_into_ends_at_once() -> None:
    assert process("anywhere", signal.SIGTERM) == (143, ["saved"])


def test_a_process_interrupted_twice_ends_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    code, lines = process("twice", signal.SIGINT, signal.SIGINT)
    assert (code, lines) == (-signal.SIGINT, ["update done"])  # as Python dies of a KeyboardInterrupt
    assert "quit at once; the last checkpoint is whole" in capfd.readouterr().err
