"""The data preparation under load: seconds, disk and memory for a generated corpus of millions of pairs.

    python tests/load/corpus.py pairs=5000000
    python tests/load/corpus.py pairs=500000 workers=1 folder=/scratch keep=true

Generates the corpus (the same for the same `pairs`), prepares it in a fresh process, and once more in another, which
finds everything in the cache. Each draws an epoch and collates 200 batches. Memory is RssAnon of /proc/self/status,
sampled by a thread: what the process itself holds; pages of mapped files are not in it. Linux only.
"""

from __future__ import annotations

import itertools
import json
import logging
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORDS = 40_000  # different ones of a side, drawn by Zipf's law
GENERATED_AT_ONCE = 20_000
OPTIONS = {"pairs": "500000", "folder": None, "workers": "auto", "tokenizer": "bpe", "keep": "false"}


def main() -> None:
    options: dict[str, Any] = {**OPTIONS, **dict(word.split("=", 1) for word in sys.argv[1:])}
    if unknown := options.keys() - OPTIONS.keys():
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(OPTIONS)}")
    folder = Path(tempfile.mkdtemp(prefix="corpus-", dir=options["folder"]))
    try:
        start = time.monotonic()
        generate(folder / "train", int(options["pairs"]), seed=1)
        generate(folder / "valid", 500, seed=2)
        size = sum(file.stat().st_size for file in folder.glob("train.*"))
        tell("corpus", pairs=int(options["pairs"]), mebibytes=size / 2**20, seconds=time.monotonic() - start)
        for label in ("first start", "second start"):
            command = [sys.executable, __file__, "prepare", str(folder), options["workers"], options["tokenizer"]]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=3600)
            tell(label, **json.loads(done.stdout))
        cached = sum(file.stat().st_size for file in (folder / "encoded").rglob("*"))
        tell("cache", mebibytes=cached / 2**20)
    finally:
        if options["keep"] != "true":
            shutil.rmtree(folder)


def generate(prefix: Path, pairs: int, seed: int) -> None:
    """Sources of 12 words or so, and each source's words in another language, a few of them left out or doubled."""
    letters = random.Random(0)
    syllables = ["".join(letters.choices("aeiouäö", k=1) + letters.choices("bdfgklmnprstvz", k=2)) for _ in range(80)]
    words = ["".join(letters.choices(syllables, k=letters.randint(1, 4))) for _ in range(2 * WORDS)]
    weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(WORDS)))
    numbers = random.Random(seed)
    with open(f"{prefix}.de", "w", encoding="utf-8") as source, open(f"{prefix}.en", "w", encoding="utf-8") as target:
        for done in range(0, pairs, GENERATED_AT_ONCE):
            count = min(GENERATED_AT_ONCE, pairs - done)
            lengths = [max(1, min(90, int(numbers.lognormvariate(2.4, 0.5)))) for _ in range(count)]
            drawn = numbers.choices(range(WORDS), cum_weights=weights, k=sum(lengths))
            sources, targets, start = [], [], 0
            for length in lengths:
                ranks = drawn[start : start + length]
                sources.append(" ".join([words[rank] for rank in ranks]))
                if length > 5:  # lengths are alike, not equal
                    ranks = ranks[: length - ranks[0] % 3] + ranks[: ranks[1] % 3]
                targets.append(" ".join([words[WORDS + rank] for rank in ranks]))
                start += length
            source.write("\n".join(sources) + "\n")
            target.write("\n".join(targets) + "\n")


def prepare(folder: Path, workers: str, tokenizer: str) -> dict[str, Any]:
    """One start of a training, up to its 200th batch."""
    sys.path.insert(0, str(ROOT))
    from seq2seq.config import Config
    from seq2seq.data.batch import collate
    from seq2seq.data.prepare import encode_texts, read_texts
    from seq2seq.data.sampler import BatchSampler
    from seq2seq.progress import log_to_terminal

    data = {"train": str(folder / "train"), "valid": str(folder / "valid"), "cache": str(folder / "encoded")}
    config = Config.from_dict(
        {
            "data": {**data, "workers": workers if workers == "auto" else int(workers)},
            "tokenizer": {"name": tokenizer, "vocab_size": "auto"},
        }
    )
    log_to_terminal()
    steps = Steps()
    logging.getLogger("seq2seq").addHandler(steps)
    memory = Memory()
    start = time.monotonic()
    texts = read_texts(config)
    read = time.monotonic()
    memory.mark("read")
    corpora = encode_texts(config, texts)
    encoded = time.monotonic()
    memory.mark("encode")
    sampler = BatchSampler(
        corpora.train.source_lengths, corpora.train.target_lengths, batch_tokens=4000, batch_sentences=None, seed=1
    )
    drawing = time.monotonic()
    epoch = sampler.epoch(0)
    drawn = time.monotonic()
    efficiency = sampler.padding_efficiency(epoch)
    memory.mark("epoch")
    collating = time.monotonic()
    for rows in epoch[:200]:
        collate(corpora.train, rows, corpora.tokenizers)
    collated = time.monotonic()
    memory.mark("batches")
    tokenized = steps.times.get("tokenizer", read)
    return {
        "seconds": encoded - start,
        "to_read": read - start,
        "to_learn_tokenizer": tokenized - read,
        "to_encode": encoded - tokenized,
        "to_draw_epoch": drawn - drawing,
        "to_collate_200": collated - collating,
        "batches": len(epoch),
        "padding_efficiency": efficiency,
        "anonymous_mebibytes": memory.peaks(),
        "largest_other_process_mebibytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


class Steps(logging.Handler):
    """When the tokenizer was ready."""

    def __init__(self) -> None:
        super().__init__()
        self.times: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("tokenizer.vocab_size"):
            self.times["tokenizer"] = time.monotonic()


class Memory:
    """Peaks of this process's anonymous memory, from one mark to the next."""

    def __init__(self) -> None:
        self._peaks: dict[str, float] = {"before": anonymous_mebibytes()}
        self._peak = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def mark(self, label: str) -> None:
        self._peaks[label] = max(self._peak, anonymous_mebibytes())
        self._peak = 0.0

    def peaks(self) -> dict[str, float]:
        return {label: round(peak, 1) for label, peak in self._peaks.items()}

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, anonymous_mebibytes())
            time.sleep(0.02)


def anonymous_mebibytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def tell(label: str, **figures: Any) -> None:
    shown = {name: round(figure, 2) if isinstance(figure, float) else figure for name, figure in figures.items()}
    sys.stdout.write(f"{label}: {json.dumps(shown)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["prepare"]:
        sys.stdout.write(json.dumps(prepare(Path(sys.argv[2]), *sys.argv[3:])))
    else:
        main()
