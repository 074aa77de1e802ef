"""Finished runs, made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seq2seq.config import Config

SOURCES = [f"ein Satz von {i} und mehr Worten {'und ' * (i % 5)}." for i in range(24)]
REFERENCES = [f"a sentence of {i} and more words {'and ' * (i % 5)}." for i in range(24)]
GOOD = [line.replace("more", "some") if i % 4 == 0 else line for i, line in enumerate(REFERENCES)]
BAD = [line.replace("sentence", "one").replace("words", "of it") for line in REFERENCES]


def make_run(
    run: Path,
    hypotheses: Sequence[str] = GOOD,
    options: Mapping[str, Any] | None = None,
    begun: int = 0,
    references: Sequence[str] = REFERENCES,
    tests: Sequence[str] = ("test",),
) -> Path:
    """Writes a run's folder: its config's options, its translations, and when it was begun."""
    (run / "translations").mkdir(parents=True)
    config = Config.from_dict({"data": {"train": "t", "test": dict.fromkeys(tests, "x")}, **(options or {})})
    _write(run / "config.json", config.to_dict())
    for test in tests:
        for part, lines in (("source", SOURCES), ("reference", references), ("hypothesis", hypotheses)):
            text = "".join(f"{line}\n" for line in lines)
            (run / "translations" / f"{test}.{part}").write_text(text, encoding="utf-8")
    results = {
        "test": {test: {"sentences_per_second": 200.0} for test in tests},
        "valid": {"update": 20},
        "train": {"target_tokens_per_second": 5000.0, "seconds": 400.0, "epochs": 3.0, "stop_reason": "x"},
        "model": {"parameters": 1_234_567},
        "device": "cpu, fp32, 2 threads",
    }
    _write(run / "results.json", results)
    metrics = [
        {"kind": "train", "update": 20, "seconds": 1.0},
        {"kind": "valid", "update": 10, "seconds": 90.0},
        {"kind": "valid", "update": 20, "seconds": 150.0},
        {"kind": "valid", "update": 30, "seconds": 400.0},
    ]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in metrics))
    (run / "sessions.jsonl").write_text(json.dumps({"time": f"2026-01-01T10:{begun:02}:00+0000"}) + "\n")
    return run


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
