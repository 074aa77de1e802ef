"""What the commands import, and so wait for: nothing that their work doesn't need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from support.scripts import SCRIPTS, Trained

UNUSED = ("torch._dynamo", "torch._inductor", "torch.distributed", "torch.onnx", "torch.testing", "sympy", "sacrebleu")


class Ended(NamedTuple):
    """A Python program that has ended: what it had imported, and how many objects no collection looked at any more."""

    modules: set[str]
    frozen: int
    err: str


def ended(folder: Path, program: str, stdin: bytes = b"") -> Ended:
    note = folder / "note.json"
    last = (  # of all that is done at the end, for it is registered first
        f"import atexit, gc, json, pathlib, sys\nnote = pathlib.Path({str(note)!r})\n"
        "atexit.register(lambda: note.write_text(json.dumps([list(sys.modules), gc.get_freeze_count()])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", last + program], cwd=folder, input=stdin, capture_output=True, timeout=120
    )
    modules, frozen = json.loads(note.read_text())
    return Ended(set(modules), frozen, done.stderr.decode())


def running(command: str, *words: str) -> str:
    path = str(SCRIPTS / f"{command}.py")
    return f"import runpy\nsys.argv = {[command, *words]}\nrunpy.run_path({path!r}, run_name='__main__')\n"


def test_translating_imports_no_more_of_torch_than_it_needs(trained: Trained, tmp_path: Path) -> None:
    torch = ended(tmp_path, "import torch").modules
    translated = ended(tmp_path, running("translate", f"run={trained.run}"), b"Ein Hund.\n")
    assert translated.err == ""
    assert {"torch", "sentencepiece", "seq2seq.search.beam"} <= translated.modules
    more = translated.modules - torch
    assert {name for name in more if f"{name}.".startswith(tuple(f"{part}." for part in UNUSED))} == set()
    assert translated.frozen > 100_000  # torch's, which else are searched for garbage when Python ends


def test_a_mistyped_option_of_a_run_that_is_gone_on_with_does_not_wait_for_torch(
    trained: Trained, tmp_path: Path
) -> None:
    words = [f"run={trained.run}", "resume=auto", "trainer.max_epoch=9"]
    train = ended(tmp_path, running("train", *words))
    assert "did you mean trainer.max_epochs?" in train.err
    assert "seq2seq.runs" in train.modules
    assert "torch" not in train.modules
