"""What the tests of the scripts share: a small corpus, a small training, and a script's result."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import seq2seq
from seq2seq.data.lines import read_lines
from seq2seq.resources import shipped

SCRIPTS = Path(seq2seq.__file__).parent.parent / "scripts"
ODD = "a,b [c]=ü ~x"
SMALL = [
    "embedding_size=24",
    "encoder.hidden_size=24",
    "decoder.dropout=0.0",
    "encoder.dropout=0.0",
    "tokenizer.vocab_size=400",
    "trainer.batch_sentences=20",
    "trainer.translate_batch=20",
    "optimizer.learning_rate=0.01",
    "search.beam_size=3",
    "threads=1",
    "precision=fp32",
]


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What came out, split as a Unix tool splits it."""
        assert self.out.endswith("\n") or not self.out
        return self.out.split("\n")[:-1]


Command = Callable[..., Done]


def script(name: str, *words: str, cwd: Path, stdin: bytes = b"") -> Done:
    """Runs a script in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / f"{name}.py"), *words], cwd=cwd, input=stdin, capture_output=True, timeout=120
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def write_pairs(prefix: Path, sources: Sequence[str], targets: Sequence[str], packed: bool = False) -> str:
    for side, lines in (("de", sources), ("en", targets)):
        content = "".join(f"{line}\n" for line in lines).encode()
        if packed and side == "de":
            Path(f"{prefix}.{side}.gz").write_bytes(gzip.compress(content))
        else:
            Path(f"{prefix}.{side}").write_bytes(content)
    return str(prefix)


def tiny(name: str, start: int, end: int) -> tuple[list[str], list[str]]:
    folder = shipped("data/tiny")
    return read_lines(folder / f"{name}.de")[start:end], read_lines(folder / f"{name}.en")[start:end]


class Corpus(NamedTuple):
    """Prefixes of small slices of the corpus that ships, in a folder with an odd name."""

    folder: Path
    first: str
    second: str
    valid: str
    tests: dict[str, str]

    def words(self) -> list[str]:
        return [f"data.train=[{self.first!r},{self.second!r}]", f"data.valid={self.valid}"]


class Trained(NamedTuple):
    """A finished training: where it was run, its folder, what the command said, and the files that it left in there."""

    cwd: Path
    run: Path
    said: Done
    files: frozenset[str]

    @property
    def results(self) -> dict[str, Any]:
        return json.loads((self.run / "results.json").read_text(encoding="utf-8"))


SENTENCES = tiny("test", 30, 42)[0]
TEXT = "".join(f"{line}\n" for line in SENTENCES).encode()
