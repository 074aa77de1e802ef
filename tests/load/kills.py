"""Short trainings, killed at random moments again and again, that must end as if nothing had happened.

    python tests/load/kills.py kills=100 [seed=1] [signal=KILL]

Every training is killed, its folder is looked at, and it is resumed, until it gets to its end; then it is compared
with one that was never killed: weights bit for bit, metrics.jsonl line by line (times and rates aside), translations,
scores.
Processes are forked from this one, which has imported everything and computed nothing, so that a start costs little.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # every optimizer imports it: once here, for all children

import seq2seq
from seq2seq.checkpoints import Checkpoints
from seq2seq.data.lines import read_lines
from seq2seq.errors import Interrupted
from seq2seq.processor import has_bf16
from seq2seq.resources import shipped
from seq2seq.training import train  # noqa: F401  # as above

PAIRS, VALID = 90, 6
TIMES = ("tokens_per_second", "seconds")  # what two equal trainings differ in
RUNS = {  # what is trained, in turn
    "defaults": [f"precision={'bf16' if has_bf16() else 'fp32'}", "threads=2", "trainer.batch_sentences=20"],
    "feeding": ["decoder.input_feeding=true", "attention.coverage_loss=0.5", "data.train=[train,valid]"],
    "transformer": ["experiment=transformer2017", "decoder.num_layers=1", "scheduler=cosine", "optimizer=adamw"],
    "plateau": ["encoder=gru", "attention=bahdanau", "decoder=gru", "trainer.save_every=1"],
    "accumulate": ["trainer.accumulate=3", "trainer.keep_best=2", "scheduler=cosine", "trainer.save_every=5"],
    "tokens": ["trainer.batch_sentences=null", "trainer.batch_tokens=90", "optimizer=sgd", "optimizer.momentum=0.5"],
}
COMMON = [
    "tokenizer=word", "embedding_size=16", "trainer.batch_sentences=10", "trainer.max_epochs=6", "device=cpu",
    "precision=fp32", "threads=1", "resume=auto", "trainer.save_every=2", "trainer.validate_every=7",
    "trainer.log_every=3", "trainer.keep_last=2", "trainer.samples=0", "search.beam_size=2", "search.max_length=12",
]  # fmt: skip


def main() -> int:
    options = dict(word.split("=", 1) for word in sys.argv[1:])
    kills, chance = int(options.get("kills", 20)), random.Random(int(options.get("seed", 1)))
    number = signal.Signals[f"SIG{options.get('signal', 'KILL')}"]
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    os.chdir(folder)
    write_corpus()
    started, done, torn, runs = time.monotonic(), 0, 0, 0
    references: dict[str, tuple[Any, float]] = {}
    while done < kills:
        name = list(RUNS)[runs % len(RUNS)]
        if name not in references:
            references[name] = reference(name)
        expected, seconds = references[name]
        here = Path(f"run-{runs}")
        killed = 0
        while done < kills:
            survived = killed_after(config(name, here), chance.uniform(0.02, 0.7) * seconds, number)
            if survived:
                break
            killed, done = killed + 1, done + 1
            torn += is_torn(here)
            if found := in_child(lambda here=here: look(here)):
                return failed(here, f"kill {done}: {found}")
        if found := in_child(lambda name=name, here=here: finish(config(name, here))):
            return failed(here, found)
        if differences := compared(expected, outcome(here)):
            return failed(here, f"differs from the uninterrupted training in {differences}")
        print(f"{name}: killed {killed} times, the end is the same ({done} of {kills})", flush=True)
        runs += 1
        shutil.rmtree(here)
    print(
        f"{done} kills by {number.name} survived in {runs} trainings, {torn} of them while a checkpoint was being "
        f"written; {time.monotonic() - started:.0f} s"
    )
    shutil.rmtree(folder)
    return 0


def config(name: str, run: Path) -> seq2seq.Config:
    data = [f"data.{role}={role}" for role in ("train", "valid", "test")]
    return seq2seq.compose([*data, *COMMON, *RUNS[name], f"run={run}"])


def write_corpus() -> None:
    for side in ("de", "en"):
        lines = read_lines(shipped("data/tiny") / f"train.{side}")
        for role, start, end in (("train", 0, PAIRS), ("valid", 100, 100 + VALID), ("test", 200, 200 + VALID)):
            Path(f"{role}.{side}").write_text("".join(f"{line}\n" for line in lines[start:end]), encoding="utf-8")


def reference(name: str) -> tuple[Any, float]:
    """What the training ends with, and its seconds, when nobody disturbs it."""
    here = Path(f"reference-{name}")
    start = time.monotonic()
    if found := in_child(lambda: finish(config(name, here))):
        raise SystemExit(f"the reference failed: {found}")
    return outcome(here), time.monotonic() - start


def finish(options: seq2seq.Config) -> str:
    torch.set_num_threads(1)
    seq2seq.train(options)
    return ""


def look(here: Path) -> str:
    """What is wrong with the folder of a killed training: all that claims to be whole must be, and translate."""
    found = Checkpoints(here / "checkpoints")
    for manifest in found.newest():
        for part in ("weights", "training"):
            found.read(manifest, part)
        if manifest.update == found.newest()[0].update:
            translator = seq2seq.Translator.load(here, checkpoint="last")
            translator.translate(["Der Mann liest."])
    return ""


def is_torn(here: Path) -> bool:
    """Whether the kill fell into the writing of a checkpoint: a part is there, and no manifest."""
    folder = here / "checkpoints"
    begun = {path.name.lstrip(".").partition(".")[0] for path in folder.glob("*") if path.name != "."}
    return any(not (folder / f"{update}.json").exists() for update in begun)


def outcome(here: Path) -> dict[str, Any]:
    results = json.loads((here / "results.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (here / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    newest = Checkpoints(here / "checkpoints").newest()[0]
    return {
        "best weights": results["model"]["digest"],
        "last weights": newest.files["weights"]["sha256"],
        "scores": {key: results["test"]["test"][key] for key in ("bleu", "chrf", "exact_match")},
        "valid": results["valid"],
        "updates": [results["train"][key] for key in ("updates", "epochs", "target_tokens", "stop_reason")],
        "metrics": [{key: value for key, value in line.items() if key not in TIMES} for line in lines],
        "translations": (here / "translations" / "test.hypothesis").read_text(encoding="utf-8"),
    }


def compared(expected: dict[str, Any], found: dict[str, Any]) -> str:
    return ", ".join(key for key in expected if expected[key] != found[key])


def killed_after(options: seq2seq.Config, seconds: float, number: signal.Signals) -> bool:
    """Trains in a child and kills it; whether it got to its end before."""
    child = forked(lambda: finish(options), Path("said.txt"))
    time.sleep(seconds)
    os.kill(child, number)
    _, status = os.waitpid(child, 0)
    ended = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    expected = os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 128 + number
    if not ended and not expected:
        raise SystemExit(f"a training failed by itself:\n{Path('said.txt').read_text(errors='replace')}")
    return ended


def in_child(work: Callable[[], str]) -> str:
    """What `work` said in a process of its own: nothing, if all is well."""
    said = Path("said.txt")
    _, status = os.waitpid(forked(work, said), 0)
    return "" if status == 0 else said.read_text(encoding="utf-8", errors="replace")[-3000:] or f"status {status}"


def forked(work: Callable[[], str], said: Path) -> int:
    child = os.fork()
    if child:
        return child
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    code = 1
    try:
        print(answer := work(), flush=True)
        code = 1 if answer else 0
    except Interrupted as error:
        code = 128 + error.signal
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code)


def failed(here: Path, why: str) -> int:
    print(f"{here.resolve()}: {why}", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
