"""What a run's folder holds for a report, each part only where it is there: a training may not be over yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.config import Config
from seq2seq.evaluation.translated import Translated
from seq2seq.files import told
from seq2seq.runs import RunFolder


class Run(NamedTuple):
    """What was read; without results or data, {}."""

    folder: RunFolder
    config: Config
    results: Mapping[str, Any]
    data: Mapping[str, Any]
    metrics: list[dict[str, Any]]
    tests: list[Translated]

    @classmethod
    def read(cls, path: Path) -> Run:
        """CheckpointError where it isn't a run's folder or a file in it is damaged, DataError where sides differ."""
        folder = RunFolder.open(path)
        results, data = (
            folder.read_json(name) if (path / name).is_file() else {} for name in ("results.json", "data.json")
        )
        tests = [Translated.read(folder, name) for name in _names(folder, results)]
        return cls(folder, folder.read_config(), results, data, folder.read_metrics(), tests)


def _names(folder: RunFolder, results: Mapping[str, Any]) -> list[str]:
    """Of the test sets whose translations are there, in the order of the results."""
    there = sorted(path.name.removesuffix(".hypothesis") for path in folder.translations.glob("*.hypothesis"))
    order = list(told(results, "test") or [])
    return sorted(there, key=lambda name: order.index(name) if name in order else len(order))
