"""What is wrong is said in a line or two, before any time is spent."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from support.scripts import SMALL, TEXT, Command, Corpus, Done, Trained

BAD_CONFIGS = [
    (["sed=1"], "unknown option sed: did you mean seed?"),
    (["+sed=1"], "unknown option sed: did you mean seed?"),
    (["+encoder.hidden_sise=4"], "unknown option encoder.hidden_sise: did you mean encoder.hidden_size?"),
    (["attention=bahdanu"], "unknown attention=bahdanu: did you mean bahdanau?"),
    (["seed=one"], "seed=one is not allowed: it must be a whole number"),
    (["trainer.max_epochs=1.5"], "trainer.max_epochs=1.5 is not allowed: it must be a whole number or null"),
    (
        ["attention=luong_dot", "decoder.hidden_size=512", "encoder.hidden_size=512"],
        "attention=luong_dot needs decoder.hidden_size (512) to equal the encoder's output size (1024); "
        "use attention=luong_general or set decoder.hidden_size=1024",
    ),
    (
        ["data.train=x"],
        "no validation set: set data.valid=PREFIX, or data.valid_split=N to hold out N of the training pairs",
    ),
    (
        ["data=files"],
        "no training data: set data.train=PREFIX, where PREFIX.de and PREFIX.en are the two sides, or use data=tiny",
    ),
    (
        ["data.train=no/where", "data.valid_split=1"],
        "neither no/where.de nor no/where.de.gz is a file; there is no folder no",
    ),
    (["init=nothing", "trainer.max_updates=1"], "tokenizer.model=nothing: no such file or folder"),
    (["precision=fp16", "device=cpu"], "precision=fp16 needs a GPU, but device=cpu; use precision=bf16 or fp32"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"), BAD_CONFIGS, ids=lambda value: value[0] if isinstance(value, list) else ""
)
def test_what_is_wrong_with_the_words_is_said_in_a_line(
    words: list[str], message: str, command: Command, here: Path
) -> None:
    assert command("train", *words) == Done(1, "", f"error: {message}\n")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "uneven",
            "{0}/uneven.de has 3 lines but {0}/uneven.en has 2; "
            "line i of one must be the translation of line i of the other",
        ),
        ("empty", "train: no line has text on both sides in {0}/empty.de, {0}/empty.en"),
        ("blank", "train: no line has text on both sides in {0}/blank.de, {0}/blank.en"),
        (
            "latin",
            "{0}/latin.de, line 2: not valid UTF-8 (byte 0xF6 at column 4); "
            "convert it with: iconv -f latin1 -t utf-8 {0}/latin.de > NEWFILE",
        ),
        ("non", "neither {0}/non.de nor {0}/non.de.gz is a file"),
    ],
)
def test_what_is_wrong_with_the_data_is_said_in_a_line(
    name: str, message: str, command: Command, here: Path, files: Path
) -> None:
    done = command("train", f"data.train={files}/{name}", f"data.valid={files}/ok", "run=r", *SMALL)
    assert done == Done(1, "", f"error: {message.format(files)}\n")
    assert list(here.iterdir()) == []


def test_a_vocabulary_beyond_the_data_names_the_largest_possible(command: Command, here: Path, corpus: Corpus) -> None:
    words = [*corpus.words(), *SMALL, "run=r", "trainer.max_updates=1"]
    done = command("train", *words, "tokenizer.vocab_size=99999")
    assert done.code == 1
    start = "error: tokenizer.vocab_size=99999 is more than this text can give: at most "
    assert done.err.startswith(start)
    most = int(done.err.removeprefix(start).partition(";")[0])
    assert done.err == f"{start}{most}; set tokenizer.vocab_size={most} or auto\n"
    assert [path.name for path in here.iterdir()] == ["runs"]
    assert not list((here / "runs" / "encoded").glob("*.model"))


def test_all_faults_of_a_config_come_at_once(command: Command) -> None:
    done = command("train", "sed=1", "trainer.max_epochs=x")
    assert done.err == (
        "error: trainer.max_epochs=x is not allowed: it must be a whole number or null\n"
        "       unknown option sed: did you mean seed?\n"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("name", ["train", "translate", "evaluate"])
def test_a_gpu_is_asked_for_where_there_is_none(
    name: str, command: Command, here: Path, model: str, files: Path
) -> None:
    words = {
        "train": [],
        "translate": [model],
        "evaluate": [model, f"source={files}/ok.de", f"reference={files}/ok.en"],
    }
    done = command(name, *words[name], "device=cuda")
    assert done == Done(1, "", "error: device=cuda: torch finds no CUDA device here; use device=cpu\n")
    assert list(here.iterdir()) == []


def test_a_folder_that_holds_a_run_is_left_alone(
    command: Command, trained: Trained, corpus: Corpus, model: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.run.rglob("*")}
    done = command("train", *corpus.words(), *SMALL, model)
    message = (
        f"error: run={trained.run} already holds a run; go on with it by resume=auto, name another folder, or delete "
        "this one\n"
    )
    assert done == Done(1, "", message)
    assert {path: path.stat().st_mtime_ns for path in trained.run.rglob("*")} == before


@pytest.mark.parametrize("name", ["translate", "evaluate"])
def test_a_folder_that_holds_no_run(name: str, command: Command, here: Path, files: Path) -> None:
    words = [] if name == "translate" else [f"source={files}/ok.de", f"reference={files}/ok.en"]
    done = command(name, f"run={files}", *words, stdin=TEXT)
    assert done == Done(1, "", f"error: run={files} is not a run's folder: it has no config.json; train.py makes one\n")
    assert command(name, "run=nowhere", *words) == Done(1, "", "error: run=nowhere: no such folder\n")
    assert list(here.iterdir()) == []


def test_a_checkpoint_that_does_not_fit_its_config(command: Command, trained: Trained, here: Path) -> None:
    shutil.copytree(trained.run, here / "r")
    config = json.loads((here / "r" / "config.json").read_text())
    config["encoder"]["hidden_size"] = 32
    (here / "r" / "config.json").write_text(json.dumps(config))
    done = command("translate", "run=r", stdin=TEXT)
    assert (done.code, done.out) == (1, "")
    assert re.match(
        r"error: r/checkpoints/\d{8}\S*\.weights\.safetensors doesn't fit the model of its config: ", done.err
    )
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("translate", [], "which model? set run=FOLDER, the folder that train.py left"),
        ("translate", ["run=r", "beam=3"], "unknown option beam"),
        ("translate", ["run=r", "input=none.txt"], "input=none.txt: No such file or directory"),
        ("translate", ["run=r", "-m"], "only train.py can sweep (-m)"),
        ("evaluate", ["run=r", "reference=x"], "run needs source=FILE to translate"),
        ("evaluate", ["hypothesis=none.txt", "reference=x"], "none.txt: no such file"),
    ],
)
def test_bad_words_of_the_other_scripts(
    name: str, words: list[str], message: str, command: Command, here: Path
) -> None:
    done = command(name, *words)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: {message}")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "fault", "example"),
    [
        (["--no-such-flag"], "--no-such-flag", ": no-such-flag=VALUE"),
        (["--run=runs/a"], "--run=runs/a", ": run=runs/a"),
        (["seed=1", "--run", "runs/a"], "--run", ": run=runs/a"),
        (["runs/a"], "runs/a", ""),
        (["run", "=", "runs/a"], "run", ""),
    ],
)
@pytest.mark.parametrize("name", ["train", "translate", "benchmark", "tune", "prepare_data"])
def test_a_word_that_is_no_option(
    name: str, words: list[str], fault: str, example: str, command: Command, here: Path
) -> None:
    message = f"{fault}: options are written KEY=VALUE, in one word and without dashes{example}"
    assert command(name, *words) == Done(1, "", f"error: {message}\n")
    assert list(here.iterdir()) == []


def test_a_flag_may_stand_anywhere(command: Command, here: Path) -> None:
    first = command("train", "--cfg", "job", "seed=5", "attention=bahdanau")
    assert first.code == 0
    assert command("train", "seed=5", "--cfg", "job", "attention=bahdanau") == first
    assert "seed: 5" in first.out


def test_search_options_are_checked_against_the_runs_own(command: Command, model: str) -> None:
    done = command("translate", model, "search.n_best=4", stdin=TEXT)
    message = "search.n_best=4 is more than search.beam_size=3 can find; set search.beam_size=4"
    assert done == Done(1, "", f"error: {message}\n")
    done = command("translate", model, "+search.bean_size=4", stdin=TEXT)
    assert done == Done(1, "", "error: unknown option search.bean_size: did you mean search.beam_size?\n")
    done = command("translate", model, "search.sample=true", "search.top_p=0", stdin=TEXT)
    assert done == Done(1, "", "error: search.top_p=0 is not allowed: it must be from 0.001 to 1.0\n")


def test_no_file_of_the_users_is_written_over(command: Command, model: str, here: Path) -> None:
    (here / "in").write_bytes(TEXT)
    (here / "refs").write_bytes(TEXT)
    (here / "old").write_text("a dog\n")
    scored = [model, "source=in", "reference=refs"]
    for name, words, message in (
        (
            "translate",
            [model, "input=in", "output=./in"],
            "output=./in is the input, which would be lost before it is read; name another file",
        ),
        (
            "evaluate",
            [*scored, "hypothesis=old"],
            "hypothesis=old exists already, and it is where the model's translation is written; name a new file, or "
            "delete this one; to score it as it is, leave run and source out",
        ),
        *(
            ("evaluate", words, f"output=./{read} would overwrite {read}, which is read here; name another file")
            for words, read in (
                ([*scored, "output=./in"], "in"),
                ([*scored, "output=./refs"], "refs"),
                (["hypothesis=old", "reference=old", "output=./old"], "old"),
            )
        ),
        (
            "evaluate",
            [*scored, "hypothesis=new", "output=./new"],
            "output=./new is hypothesis=new too; name another file",
        ),
    ):
        assert command(name, *words) == Done(1, "", f"error: {message}\n")
    assert (here / "in").read_bytes() == (here / "refs").read_bytes() == TEXT
    assert (here / "old").read_text() == "a dog\n"
    assert sorted(path.name for path in here.iterdir()) == ["in", "old", "refs"]
