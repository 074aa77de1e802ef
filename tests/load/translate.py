"""translate.py under load: `python tests/load/translate.py lines=1000000 beam=1`.

Trains a tiny model on the corpus that ships (or takes run=FOLDER), translates a short input and then a long one by
scripts/translate.py, in a process of its own each, and says of both how many lines a second they gave, how much memory
the process held by itself (RssAnon of /proc, so Linux only), and whether the order was kept. Exit code 1 where the long
one is slower than the short one by more than a tenth, where memory has grown after the warm-up, or a line is wrong.
What is compared are lines per second of the processor's time, which other work on the machine changes least.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS, TINY = ROOT / "scripts", ROOT / "data" / "tiny"
OPTIONS = {
    "lines": "1000000",
    "short": "10000",
    "beam": "1",
    "batch_size": "64",
    "threads": "1",
    "run": "",
    "limit": "3600",
}
SMALLEST = [
    "embedding_size=16", "encoder.hidden_size=16", "tokenizer.vocab_size=400", "trainer.batch_sentences=50",
    "trainer.max_epochs=1", "optimizer.learning_rate=0.01", "precision=fp32", "threads=1",
]  # fmt: skip
WORDS = (2, 6)  # of each line, so that a million takes minutes
CHECKED = 20  # lines of the long input that are translated alone, spread over all of it
GROWTH = 32.0  # MiB that the allocator may keep; of a hundred bytes kept for each of a million lines it is a third
WARM_UP = 0.1  # of the lines


class Sample(NamedTuple):
    """What is true at one time."""

    seconds: float
    worked: float  # seconds of processor time
    written: int  # bytes of output
    memory: float  # MiB


class Load(NamedTuple):
    """A translation under watch."""

    rate: float  # lines a second of processor time, from the first that was written to the last
    seen: float  # lines a second of the clock
    samples: list[Sample]
    peak: float  # MiB

    def settled(self) -> tuple[float, float]:
        """The memory after the warm-up and at the end: the most of some samples each, for it goes up and down."""
        size = self.samples[-1].written
        working = [sample for sample in self.samples if sample.written >= WARM_UP * size] or self.samples[-1:]
        part = max(1, len(working) // 5)
        return max(s.memory for s in working[:part]), max(s.memory for s in working[-part:])


def main() -> int:
    options = {**OPTIONS, **dict(word.split("=", 1) for word in sys.argv[1:])}
    if unknown := options.keys() - OPTIONS.keys():
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; allowed are {', '.join(OPTIONS)}")
    count, short = int(options["lines"]), int(options["short"])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run = options["run"] or train(place)
        words = [f"run={Path(run).resolve()}", f"search.beam_size={options['beam']}", f"threads={options['threads']}"]
        words += [f"batch_size={options['batch_size']}", "search.max_length=10", "precision=fp32", "device=cpu"]
        loads = []
        for lines in (short, count, short):  # the short one twice, for a machine is not always as fast
            write_input(place / "in", lines)
            loads.append(translate(place, words, float(options["limit"])))
            after, end = loads[-1].settled()
            rates = f"{loads[-1].rate:,.0f} lines/s of processor time, {loads[-1].seen:,.0f} by the clock"
            say(
                f"{lines:,} lines: {rates}; memory after warm-up {after:,.1f} MiB, at the end {end:,.1f} MiB, at most "
                f"{loads[-1].peak:,.1f} MiB"
            )
            if lines == count:
                (place / "out").rename(place / "long")
        faults = check_order(place, words, count)
    after, end = loads[1].settled()
    ratio = 2 * loads[1].rate / (loads[0].rate + loads[2].rate)
    faults += [] if ratio >= 0.9 else [f"the long input is slower: {ratio:.2f} of the short one's lines/s"]
    faults += [] if end - after <= GROWTH else [f"memory grew by {end - after:,.1f} MiB after the warm-up"]
    say(f"throughput {ratio:.3f} of the short input's, memory {end - after:+,.1f} MiB: {'; '.join(faults) or 'held'}")
    return 1 if faults else 0


def train(place: Path) -> str:
    say("training a tiny model")
    words = [f"data.train={TINY / 'train'}", f"data.valid={TINY / 'valid'}", "run=model", *SMALLEST]
    subprocess.run([sys.executable, str(SCRIPTS / "train.py"), *words], cwd=place, check=True, capture_output=True)
    return str(place / "model")


def line(number: int, corpus: Sequence[str]) -> str:
    """Line `number` of every input: a few words of the corpus by chance, alike in kind wherever the line stands."""
    chance = random.Random(number)
    words = chance.choice(corpus).split()
    size = chance.randint(*WORDS)
    start = chance.randrange(max(1, len(words) - size))
    return " ".join(words[start : start + size])


def corpus() -> list[str]:
    return (TINY / "train.de").read_text(encoding="utf-8").splitlines()


def write_input(path: Path, count: int) -> None:
    texts = corpus()
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line(number, texts)}\n" for number in range(count))


def translate(place: Path, words: Sequence[str], limit: float) -> Load:
    """Translates place/in to place/out, watched."""
    (place / "out").unlink(missing_ok=True)
    command = [sys.executable, str(SCRIPTS / "translate.py"), *words, "workers=0", "input=in", "output=out"]
    environment = {**os.environ, "OMP_NUM_THREADS": words[2].partition("=")[2]}
    start = time.monotonic()
    with (
        (place / "err").open("wb") as words_of_it,
        subprocess.Popen(command, cwd=place, env=environment, stderr=words_of_it) as process,
    ):
        watch = threading.Timer(limit, process.kill)
        watch.start()
        samples, said = [], start
        while process.poll() is None:
            written = (place / "out").stat().st_size if (place / "out").exists() else 0
            if written and (not samples or written != samples[-1].written):
                samples.append(Sample(time.monotonic(), worked(process.pid), written, memory(process.pid)))
            if time.monotonic() - said > 60:
                said = time.monotonic()
                say(f"  {said - start:,.0f} s: {written:,} bytes written, {memory(process.pid):,.1f} MiB")
            time.sleep(0.02 if time.monotonic() - start < 30 else 1.0)
        watch.cancel()
    if process.returncode != 0:
        raise SystemExit(f"translate.py ended with {process.returncode}: {(place / 'err').read_text()[-500:]}")
    first, last = samples[0], samples[-1]
    content = (place / "out").read_bytes()
    lines = content.count(b"\n", first.written, last.written)
    if lines == 0:
        raise SystemExit("too few lines to measure: set short= or lines= higher")
    return Load(
        lines / (last.worked - first.worked),
        lines / (last.seconds - first.seconds),
        samples,
        max(sample.memory for sample in samples),
    )


def worked(process: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # of the user and of the system


def memory(process: int) -> float:
    """MiB of a process's own: heap and stacks, without the files that it has mapped; 0 where it has just ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return next((int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("RssAnon:")), 0.0)


def check_order(place: Path, words: Sequence[str], count: int) -> list[str]:
    """What is wrong with the long output: its lines are counted, and some of them compared with those lines alone."""
    texts = corpus()
    chosen = sorted({number * (count - 1) // (CHECKED - 1) for number in range(CHECKED)})
    found, total = {}, 0
    with (place / "long").open(encoding="utf-8", newline="\n") as file:
        for total, translation in enumerate(file, start=1):
            if total - 1 in chosen:
                found[total - 1] = translation
    faults = [] if total == count else [f"{total:,} lines out for {count:,} in"]
    (place / "in").write_text("".join(f"{line(number, texts)}\n" for number in chosen), encoding="utf-8")
    alone = [word for word in words if not word.startswith("batch_size=")] + ["batch_size=1", "input=in", "output=out"]
    subprocess.run([sys.executable, str(SCRIPTS / "translate.py"), *alone], cwd=place, check=True, capture_output=True)
    with (place / "out").open(encoding="utf-8", newline="\n") as file:
        for number, translation in zip(chosen, file, strict=True):
            if found.get(number) != translation:
                faults.append(f"line {number + 1:,} is {found.get(number)!r}, alone {translation!r}")
    say(
        f"{len(chosen)} lines, one in {count // len(chosen):,}, are as they are alone" if not faults else "order: wrong"
    )
    return faults


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
