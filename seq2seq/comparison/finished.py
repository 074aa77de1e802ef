"""A run that is finished: what of its folder goes into a table."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.config import Config
from seq2seq.errors import CheckpointError
from seq2seq.evaluation.translated import Translated
from seq2seq.files import number_told, told
from seq2seq.runs import RunFolder
from seq2seq.schema import did_you_mean

LOGGER = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class FinishedRun:
    """Its config and results, and the files that are asked for."""

    folder: RunFolder
    config: Config
    results: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> FinishedRun:
        """CheckpointError where it is no run, or not finished."""
        folder = RunFolder.open(path)
        if not (path / "results.json").is_file():
            raise CheckpointError(
                f"run={path} isn't finished: it has no results.json; go on with it by train.py run={path} resume=auto"
            )
        return cls(folder, folder.read_config(), folder.read_json("results.json"))

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def tests(self) -> list[str]:
        """The names of the test sets that it was scored on."""
        tests = self.results.get("test")
        return list(tests) if isinstance(tests, dict) else []

    def translated(self, name: str) -> Translated:
        """A test set and its translation.

        Raises:
            CheckpointError: it has none of this name.
            DataError: its files can't be read, or aren't aligned.
        """
        if name not in self.tests:
            known = did_you_mean(name, self.tests, "test=") or "; it has none"
            raise CheckpointError(f"run={self.path} wasn't scored on a test set {name}{known}")
        return Translated.read(self.folder, name)

    def facts(self, test: str) -> dict[str, Any]:
        """What it is and what it cost: numbers, and the machine; None for what its results don't tell."""
        numbers = {
            "parameters": ("model", "parameters"),
            "target_tokens_per_second": ("train", "target_tokens_per_second"),
            "seconds": ("train", "seconds"),
            "epochs": ("train", "epochs"),
            "sentences_per_second": ("test", test, "sentences_per_second"),
        }
        seconds = self._seconds_at(told(self.results, "valid", "update"))
        return {
            **{name: number_told(self.results, *place) for name, place in numbers.items()},
            "minutes_to_best": None if seconds is None else round(seconds / 60, 3),
            **{name: told(self.results, *place) for name, place in TOLD.items()},
        }

    def begun(self) -> str:
        """When its training began, as a text that sorts; empty where that isn't known."""
        sessions = self.path / "sessions.jsonl"
        try:
            first = sessions.read_text(encoding="utf-8").partition("\n")[0] if sessions.is_file() else "{}"
            return str(told(json.loads(first), "time") or "")
        except (ValueError, RecursionError):  # damaged, which matters to nothing but the order
            return ""

    def _seconds_at(self, update: Any) -> float | None:
        """The seconds of training, validations included, up to the end of this update's validation."""
        validations = (line for line in self.folder.read_metrics() if line["kind"] == "valid")
        return next((line.get("seconds") for line in validations if line["update"] == update), None)


TOLD = {
    "stop_reason": ("train", "stop_reason"),
    "device": ("device",),
    "precision": ("precision",),
    "threads": ("threads",),
}


def find_runs(names: Iterable[str]) -> list[FinishedRun]:
    """The finished runs in these folders: each is a run's, or has runs in it, as a sweep's.

    Those of a sweep come in the order in which they were begun; one that isn't finished is left out, with a warning.

    Raises:
        CheckpointError: no such folder, no run in it, or one that isn't finished or was named twice.
    """
    runs = [run for name in names for run in _in_folder(Path(name))]
    places = [run.path.resolve() for run in runs]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise CheckpointError(f"run={runs[i].path} is named twice; a run is compared with others")
    return runs


def _in_folder(path: Path) -> list[FinishedRun]:
    if not path.is_dir() or (path / "config.json").is_file():
        return [FinishedRun.open(path)]
    folders = sorted(folder for folder in path.iterdir() if (folder / "config.json").is_file())
    if not folders:
        raise CheckpointError(
            f"run={path} is neither a run's folder nor one with runs in it, such as train.py -m makes"
        )
    finished = [folder for folder in folders if (folder / "results.json").is_file()]
    for folder in folders:
        if folder not in finished:
            LOGGER.warning("%s isn't finished and is left out; train.py run=%s resume=auto goes on", folder, folder)
    if not finished:
        raise CheckpointError(f"run={path}: none of its {len(folders)} runs is finished")
    return sorted(map(FinishedRun.open, finished), key=lambda run: (run.begun(), run.path))
