"""How long saving a checkpoint keeps a training waiting, beside the copy that it can't do without.

    python tests/load/checkpoint.py parameters=30000000

A model of so many parameters and Adam's two moments of each, on the CPU. Prints medians: a bare copy of it all, `save`
as the training calls it, and the writing that goes on behind it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from seq2seq.checkpoints import Checkpoints

TIMES, LAYERS = 5, 10


def main() -> None:
    options = dict(word.split("=", 1) for word in sys.argv[1:])
    size = int((int(options.get("parameters", 30_000_000)) / LAYERS) ** 0.5)
    model = nn.Sequential(*(nn.Linear(size, size) for _ in range(LAYERS)))
    moments = {name: torch.zeros_like(tensor) for name, tensor in model.named_parameters()}
    state = {"first": moments, "second": {name: tensor.clone() for name, tensor in moments.items()}}
    copies, saves, writes = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        for update in range(1, TIMES + 1):
            start = time.perf_counter()
            copied = [tensor.detach().clone() for part in (dict(model.named_parameters()), *state.values())
                      for tensor in part.values()]  # fmt: skip
            copies.append(time.perf_counter() - start)
            del copied
            start = time.perf_counter()
            checkpoints.save(update, model, state, rank=None, scores={}, keep_last=2, keep_best=1)
            saves.append(time.perf_counter() - start)
            checkpoints.wait()
            writes.append(time.perf_counter() - start)
        size_on_disk = sum(file.stat().st_size for file in Path(folder).glob(f"{TIMES:08d}.*"))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {size_on_disk / 2**20:,.0f} MiB on the disk")
    for name, times in (("copy", copies), ("save", saves), ("written after", writes)):
        print(f"{name:<14}{1000 * statistics.median(times):8,.0f} ms")


if __name__ == "__main__":
    main()
