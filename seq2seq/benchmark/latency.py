"""How long one sentence takes: from a loaded model, and from the shell."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from seq2seq.benchmark.bench import Bench, Column, Table
from seq2seq.benchmark.precision import translating_precisions
from seq2seq.benchmark.rounds import Measurement, interleaved
from seq2seq.errors import CheckpointError
from seq2seq.evaluation.translator import Translator

BEAM = 5
SENTENCES = 20
TRANSLATED = "shell: translate.py, fp32"
TRANSLATE = "from seq2seq.cli import translate; translate()"


def latency(bench: Bench) -> Table:
    """One sentence at beam 5."""
    config = bench.config
    lines = bench.material.lines.source[:SENTENCES]
    loaded = {
        name: bench.material.translator(config, name, {"beam_size": BEAM}) for name in translating_precisions(bench)
    }
    rows: dict[str, Measurement] = {
        f"loaded model, {name}": partial(_one_by_one, translator, lines) for name, translator in loaded.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "line"
        file.write_text(f"{lines[0]}\n", encoding="utf-8")
        words = [f"run={config.run}", f"input={file}", f"search.beam_size={BEAM}", f"threads={bench.runtime.threads}"]
        words += [f"device={config.device}", "precision=fp32"]
        commands = {
            "shell: python -c 'import torch'": ["import torch"],
            "shell: translate.py --help": [TRANSLATE, "--help"],
            TRANSLATED: [TRANSLATE, *words],
        }
        rows |= {name: partial(_shell, command) for name, command in commands.items()}
        for row in rows.values():
            row()  # what was never read from the disk is slower
        found = interleaved("latency", rows, bench.measure.repeats)
    columns = [
        Column("name", "one sentence, beam 5"),
        Column("precision", "precision"),
        Column("milliseconds", "ms", ",.1f"),
    ]
    precisions = {**{f"loaded model, {name}": name for name in loaded}, TRANSLATED: "fp32"}
    return Table(columns, [{"name": name, "precision": precisions.get(name), **found[name]} for name in rows])


def _one_by_one(translator: Translator, lines: list[str]) -> dict[str, float]:
    """The median over some sentences."""
    spent = []
    for line in lines:
        start = time.perf_counter()
        translator.translate([line])
        translator.runtime.synchronize()
        spent.append(1000 * (time.perf_counter() - start))
    return {"milliseconds": statistics.median(spent)}


def _shell(words: list[str]) -> dict[str, float]:
    """Python from its start to its end."""
    root = Path(__file__).parents[2]  # this very package, installed or not
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    spent = time.perf_counter() - start
    if done.returncode != 0:
        raise CheckpointError(f"translate.py failed: {done.stderr.strip()[-1000:]}")
    return {"milliseconds": 1000 * spent}
