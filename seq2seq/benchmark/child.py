"""Work in a process of its own, where memory is what is measured: nothing else has run in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from seq2seq.errors import TrainingError
from seq2seq.processes import Process, ProcessError, Purpose

Request = TypeVar("Request")
Answer = TypeVar("Answer")


def alone(task: Callable[[Request], Answer], request: Request, name: str) -> Answer:
    """task(request), of a function at the top of a module, by a fresh process that ends with it.

    Raises:
        TrainingError: the process died.
    """
    try:
        with Process.of(_Quiet(task), Purpose("measures")) as process:
            answer: Answer = process.ask(request)
            return answer
    except ProcessError as error:
        raise TrainingError(f"{name}: {error}") from error


class _Quiet:
    """A task without its log lines: the process that asked has said the same."""

    def __init__(self, task: Callable[[Any], Any]) -> None:
        self.task = task

    def __call__(self, request: Any) -> Any:
        logging.getLogger("seq2seq").setLevel(logging.WARNING)
        return self.task(request)
