"""Trainings that are cut short, gone on with, or refused: by the scripts, as users meet it."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.scripts import SCRIPTS, SMALL, Command, Corpus, Done, script, tiny, write_pairs

from seq2seq.checkpoints import Checkpoints
from seq2seq.errors import Interrupted
from seq2seq.training.trainer import Trainer

HARNESS = Path(__file__).parent.parent / "load" / "kills.py"
SHORT = [*SMALL, "trainer.samples=0", "trainer.log_every=5", "search.beam_size=1", "trainer.save_every=10"]


@pytest.fixture
def words(corpus: Corpus) -> list[str]:
    """A training of two epochs, 15 updates each, on the small corpus."""
    return [*corpus.words(), "run=r", *SHORT, "trainer.max_epochs=2"]


def metrics(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: line[key] for key in line if key not in ("tokens_per_second", "seconds")} for line in lines]


def end(run: Path) -> tuple[str, str, list[dict[str, Any]]]:
    """What two equal trainings end with: the best weights, the last, and the metrics but for the times."""
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    newest = Checkpoints(run / "checkpoints").newest()[0]
    return results["model"]["digest"], newest.files["weights"]["sha256"], metrics(run)


def cut(command: Command, words: list[str], update: int, monkeypatch: pytest.MonkeyPatch) -> Done:
    """The training, interrupted by Ctrl-C during this update."""
    whole = Trainer._update

    def interrupted(trainer: Trainer, *rest: Any) -> None:
        if trainer.counters.update == update - 1:
            os.kill(os.getpid(), signal.SIGINT)
        whole(trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", interrupted)
        return command("train", *words)


@pytest.mark.slow
@pytest.mark.parametrize("number", ["KILL", "TERM"])
def test_killed_trainings_end_as_if_nothing_had_happened(number: str) -> None:
    """A few kills; python tests/load/kills.py kills=100 makes as many as one likes."""
    done = subprocess.run(
        [sys.executable, str(HARNESS), "kills=8", "seed=3", f"signal={number}"], capture_output=True, timeout=280
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert f"8 kills by SIG{number} survived".encode() in done.stdout


@pytest.mark.parametrize(
    "more",
    [[], ["tokenizer=bpe", "data.bpe_dropout=0.2", "trainer.average_decay=0.9", "encoder.word_dropout=0.1"]],
    ids=["plain", "all that draws or averages"],
)
def test_ctrl_c_saves_and_the_command_it_names_goes_on(
    command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    words = [*words, *more]
    assert command("train", *words, "run=whole").code == 0
    done = cut(command, words, 17, monkeypatch)
    assert done.code == 130
    assert done.err.splitlines()[-1] == (
        "warning: interrupted (SIGINT): update 17 is saved; go on with: seq2seq-train run=r resume=auto"
    )
    assert not (here / "r" / "results.json").exists()
    again = command("train", "run=r", "resume=auto")
    assert again.code == 0, again.err
    assert "resuming from update 17 (epoch 1.13)" in again.err
    assert end(here / "r") == end(here / "whole")
    assert "resuming from update 17" in (here / "r" / "train.log").read_text(encoding="utf-8")
    sessions = [json.loads(line) for line in (here / "r" / "sessions.jsonl").read_text().splitlines()]
    assert [session["update"] for session in sessions] == [0, 17]


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_an_interrupted_validation_is_made_up_for(
    command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, decay: float
) -> None:
    """With an average, too, whose place the model's weights have taken meanwhile."""
    words = [*words, f"trainer.average_decay={decay}"]
    assert command("train", *words, "run=whole").code == 0
    from seq2seq.training.validation import Validator

    whole = Validator.validate

    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Validator, "validate", interrupted)
        done = command("train", *words)
    assert done.code == 143
    assert "interrupted (SIGTERM): update 15 is saved" in done.err
    assert command("train", *words, "resume=auto").code == 0
    assert end(here / "r") == end(here / "whole")


def test_the_same_command_line_starts_and_goes_on(
    command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cluster's job says each time: with components, a training of nothing but them."""
    line = [*words, "resume=auto", "attention=bahdanau", "encoder=gru", "decoder=gru"]
    assert cut(command, line, 3, monkeypatch).code == 130
    again = command("train", *line)
    assert (again.code, "resuming from update 3" in again.err) == (0, True)
    finished = command("train", *line)
    assert finished.code == 0
    assert finished.err == "r is finished already; a higher limit, such as trainer.max_epochs, goes on\n"
    longer = command("train", "run=r", "resume=auto", "trainer.max_epochs=3", "trainer.patience=9")
    assert longer.code == 0
    assert "changed since: trainer.max_epochs from 2 to 3" in longer.err
    results = json.loads((here / "r" / "results.json").read_text(encoding="utf-8"))
    assert (results["train"]["updates"], results["train"]["epochs"]) == (45, 3)
    config = json.loads((here / "r" / "config.json").read_text(encoding="utf-8"))
    assert (config["trainer"]["max_epochs"], config["attention"]["name"]) == (3, "bahdanau")
    session = json.loads((here / "r" / "sessions.jsonl").read_text().splitlines()[-1])
    assert session["changes"] == {"trainer.max_epochs": [2, 3], "trainer.patience": [5, 9]}


def test_a_folder_in_which_nothing_was_saved_starts_afresh(
    command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert command("train", *words).code == 130
    assert (here / "r" / "config.json").exists()
    done = command("train", "run=r", "resume=auto", "trainer.max_updates=3")
    assert done.code == 0, done.err
    assert "run=r has no checkpoint yet: it starts" in done.err
    assert metrics(here / "r")[-1]["update"] == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["seed=2"], ["seed: 1 in the run, 2 asked for"]),
        (
            ["embedding_size=32", "optimizer.learning_rate=0.5"],
            ["embedding_size: 24 in the run, 32 asked for", "optimizer.learning_rate: 0.01 in the run, 0.5 asked for"],
        ),
        (["tokenizer.vocab_size=300"], ["tokenizer.vocab_size: 400 in the run, 300 asked for"]),
        (["trainer.batch_sentences=10"], ["trainer.batch_sentences: 20 in the run, 10 asked for"]),
        (["data.reverse_source=true"], ["data.reverse_source: false in the run, true asked for"]),
    ],
)
def test_another_training_is_not_gone_on_with(
    change: list[str], said: list[str], command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(command, words, 2, monkeypatch)
    before = (here / "r" / "config.json").read_bytes()
    done = command("train", "run=r", "resume=auto", *change)
    assert done.code == 1
    assert done.err == "".join(
        [
            "error: run=r can't be gone on with under another config:\n",
            *(f"       {line}\n" for line in said),
            "       leave these options out to go on with the run's own, or name another folder\n",
        ]
    )
    assert (here / "r" / "config.json").read_bytes() == before


def test_other_data_are_refused_and_moved_ones_are_not(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role, count in (("train", 60), ("valid", 8), ("test", 4)):
        write_pairs(here / role, *tiny(role, 0, count))
    words = [f"data.{role}={role}" for role in ("train", "valid", "test")]
    cut(command, [*words, "run=r", *SHORT, "tokenizer=char", "trainer.max_updates=4"], 2, monkeypatch)
    shutil.move("train.de", "moved.de")
    shutil.copy("train.en", "moved.en")
    with Path("train.en").open("a", encoding="utf-8") as file:
        file.write("one more\n")
    shutil.copy("moved.de", "train.de")
    with Path("train.de").open("a", encoding="utf-8") as file:
        file.write("eins mehr\n")
    done = command("train", "run=r", "resume=auto")
    assert done.code == 1
    assert "data.train: train.de has changed\n       data.train: train.en has changed\n" in done.err
    done = command("train", "run=r", "resume=auto", "data.train=moved")
    assert done.code == 0, done.err
    assert "resuming from update 2" in done.err


def test_a_mistyped_change_is_no_change(
    command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(command, words, 2, monkeypatch)
    done = command("train", "run=r", "resume=auto", "trainer.max_epoch=9", "decoder.layers=3")
    assert done.code == 1
    assert "unknown option trainer.max_epoch: did you mean trainer.max_epochs?" in done.err
    assert "decoder.layers" in done.err


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("train", *words, "run=whole").code == 0
    cut(command, words, 17, monkeypatch)
    newest = here / "r" / "checkpoints" / "00000017.weights.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    again = command("train", "run=r", "resume=auto")
    assert again.code == 0, again.err
    assert "00000017.weights.safetensors is damaged: its SHA-256 is not that of the manifest" in again.err
    assert "resuming from update 15" in again.err
    assert end(here / "r") == end(here / "whole")


@pytest.mark.slow
def test_two_trainings_in_one_folder(corpus: Corpus, here: Path, words: list[str]) -> None:
    """The second is refused while the first is at work, and the first is killed without a trace of a lock."""
    line = [sys.executable, str(SCRIPTS / "train.py"), *words, "trainer.max_epochs=200", "trainer.patience=null"]
    with subprocess.Popen(line, cwd=here, stderr=subprocess.PIPE) as first:
        deadline = time.monotonic() + 60
        while not list(here.glob("r/checkpoints/*.json")) and time.monotonic() < deadline:
            time.sleep(0.1)
        second = script("train", "run=r", "resume=auto", cwd=here)
        first.kill()
    assert second.code == 1
    assert re.fullmatch(
        rf"error: run=r is being trained by process {first.pid} on \S+; wait for it, stop it, or name another folder\n",
        second.err,
    )
    third = script("train", "run=r", "resume=auto", "trainer.max_updates=1", cwd=here)
    assert (third.code, "resuming from update" in third.err) == (0, True)


@pytest.mark.slow
def test_a_full_disk_is_one_clear_line_and_keeps_what_was_saved(corpus: Corpus, here: Path, words: list[str]) -> None:
    """No file may grow beyond what the model needs: the checkpoint of a larger optimizer state fails."""
    assert script("train", *words, "trainer.max_updates=10", "trainer.save_every=5", cwd=here).code == 0
    kept = {path.name for path in (here / "r" / "checkpoints").iterdir()}
    weights = next((here / "r" / "checkpoints").glob("00000010*weights.safetensors")).stat().st_size

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (weights + 1, weights + 1))

    line = [sys.executable, str(SCRIPTS / "train.py"), "run=r", "resume=auto", "trainer.max_updates=20"]
    done = subprocess.run(line, cwd=here, capture_output=True, preexec_fn=limit, timeout=120)
    assert done.returncode == 1
    said = done.stderr.decode().splitlines()
    assert [text for text in said if text.startswith("error:")] == [said[-1]]
    assert said[-1].startswith(f"error: {Path('r', 'checkpoints')}: a checkpoint can't be written: ")
    assert kept <= {path.name for path in (here / "r" / "checkpoints").iterdir()}
    again = script("train", "run=r", "resume=auto", cwd=here)
    assert (again.code, "resuming from update 10" in again.err) == (0, True)


def test_a_folder_that_vanishes_is_one_clear_line(
    command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Trainer._update

    def vanishing(trainer: Trainer, *rest: Any) -> None:
        if trainer.counters.update == 5:
            shutil.rmtree(here / "r")
        whole(trainer, *rest)

    monkeypatch.setattr(Trainer, "_update", vanishing)
    done = command("train", *words)
    assert done.code == 1
    assert len([line for line in done.err.splitlines() if line.startswith("error:")]) == 1
    assert "r" in done.err.splitlines()[-1]
    assert not (here / "r").exists()


def test_a_training_that_is_lost_says_so(command: Command, here: Path, words: list[str]) -> None:
    done = command("train", *words, "optimizer.learning_rate=1e38", "trainer.max_skipped=10", "trainer.clip_norm=null")
    assert done.code == 1
    assert re.search(
        r"error: update \d+: the loss or gradient of 1\d updates in a row was not finite \(trainer.max_skipped=10\); ",
        done.err,
    )
    assert "lower optimizer.learning_rate (now 1e+38)" in done.err


def test_a_dry_run_tells_and_leaves_nothing(command: Command, here: Path, words: list[str]) -> None:
    done = command("train", *words, "dry_run=true")
    assert done.code == 0, done.err
    about = [line[:12].strip() for line in done.lines if line[:12].strip()]
    assert about == [
        "data",
        "vocabulary",
        "model",
        "batches",
        "batch 1",
        "batch 2",
        "machine",
        "memory",
        "disk",
        "time",
    ]
    assert "300 training pairs" in done.lines[0]
    sources, targets = tiny("train", 0, 300)
    shown = [line.strip() for line in done.lines if line.strip() in sources]
    assert len(shown) == 4  # of two batches two pairs each, as they were written
    for source in shown:
        translated = done.lines[[line.strip() for line in done.lines].index(source) + 1].strip()
        assert translated == f"-> {targets[sources.index(source)]}"
    assert [path.name for path in here.iterdir()] == ["runs"]
    assert [path.name for path in (here / "runs").iterdir()] == ["encoded"]


def test_the_signal_of_an_interruption_is_the_exit_code() -> None:
    assert issubclass(Interrupted, KeyboardInterrupt)  # so that nothing takes it for an error to go on after


def test_resume_needs_a_folder(command: Command, here: Path, words: list[str]) -> None:
    """Without one, every command line would begin a training of its own."""
    without = [word for word in words if word != "run=r"]
    said = "error: resume=auto goes on with a folder, and none is named: set run=FOLDER\n"
    assert command("train", *without, "resume=auto") == Done(1, "", said)
    swept = command("train", "-m", *without, "resume=auto", "seed=1,2")
    assert (swept.code, swept.err.endswith(said)) == (1, True)


def test_a_longer_cosine_says_that_it_learns_no_more(command: Command, here: Path, words: list[str]) -> None:
    assert command("train", *words, "scheduler=cosine", "trainer.max_epochs=1").code == 0
    longer = command("train", "run=r", "resume=auto", "trainer.max_epochs=2")
    assert longer.code == 0
    assert "warning: scheduler.decay_updates=15: from there to update 30 the learning rate stays" in longer.err
    moved = command("train", "run=r", "resume=auto", "trainer.max_epochs=3", "scheduler.decay_updates=60")
    assert (moved.code, "the learning rate stays" in moved.err) == (0, False)
    rates = [line["learning_rate"] for line in metrics(here / "r") if line["kind"] == "train"]
    assert rates[5] == 0 < rates[8]


def test_a_first_attempt_with_other_tokenizers_leaves_none(
    command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert command("train", *words).code == 130
    assert [path.name for path in (here / "r" / "tokenizer").iterdir()] == ["shared.model"]
    apart = ["tokenizer.shared=false", "tokenizer.vocab_size=auto", "trainer.max_updates=2"]
    assert command("train", "run=r", "resume=auto", *apart).code == 0
    assert sorted(path.name for path in (here / "r" / "tokenizer").iterdir()) == ["source.model", "target.model"]
    assert command("translate", "run=r", stdin=b"Ein Hund.\n").code == 0


def test_a_validation_without_room_names_the_way_out(
    command: Command, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was trained is saved before it is validated."""
    from seq2seq.training.validation import Validator

    def full(*_: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(Validator, "validate", full)
        done = command("train", *words, "trainer.save_every=1 epoch")
    assert done.code == 1
    assert (
        "error: memory has no room to translate 20 sentences at once; set a smaller trainer.translate_batch" in done.err
    )
    again = command("train", "run=r", "resume=auto", "trainer.translate_batch=5")
    assert (again.code, "resuming from update 15" in again.err) == (0, True)


@pytest.mark.slow
def test_a_terminal_that_goes_away_stops_nothing(corpus: Corpus, here: Path, words: list[str]) -> None:
    """`train.py 2>&1 | tee log`, and tee is killed."""
    line = [sys.executable, str(SCRIPTS / "train.py"), *words, "trainer.log_every=1", "trainer.log_seconds=0.1"]
    with subprocess.Popen(line, cwd=here, stderr=subprocess.PIPE) as training:
        assert training.stderr is not None
        training.stderr.readline()
        training.stderr.close()
        assert training.wait(timeout=120) == 0
    assert (here / "r" / "results.json").exists()
    assert "stopped after update 30" in (here / "r" / "train.log").read_text(encoding="utf-8")
