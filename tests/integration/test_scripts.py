"""The scripts as a user runs them: from another folder, with odd names, on good and on bad input."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import seq2seq
from seq2seq import cli
from seq2seq.data.corpus import read_lines
from seq2seq.resources import shipped
from seq2seq.runs import digest
from seq2seq.text.tokenizer import TokenizerPair

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


@pytest.fixture(autouse=True)
def _state_of_the_process() -> Iterator[None]:
    """Runs in this process change its logger and torch's settings; the next test finds them as they were."""
    logger = logging.getLogger("seq2seq")
    handlers, propagate, level = list(logger.handlers), logger.propagate, logger.level
    threads, products = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(products)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(here: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a script's main function in this process, as the script would, in the folder `here`."""

    def run(name: str, *words: str, stdin: bytes = b"") -> Done:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        with monkeypatch.context() as patch:
            patch.setenv("HYDRA_FULL_ERROR", "")
            patch.setattr(sys, "argv", [f"{name}.py", *words])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = 0
            try:
                getattr(cli, name)()
            except SystemExit as end:
                code = int(end.code or 0)
            out.flush()
            err.flush()
        return Done(code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode())  # type: ignore[attr-defined]

    return run


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


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """300 training pairs in two files, of which one has a packed side; 20 to validate and two times 15 to test on."""
    folder = tmp_path_factory.mktemp("corpus") / "data, {x}=ß"
    folder.mkdir()
    return Corpus(
        folder,
        write_pairs(folder / "one", *tiny("train", 0, 200), packed=True),
        write_pairs(folder / "two", *tiny("train", 200, 300)),
        write_pairs(folder / "valid", *tiny("valid", 0, 20)),
        {
            "a": write_pairs(folder / "test 1", *tiny("test", 0, 15)),
            "b-2": write_pairs(folder / "test 2", *tiny("test", 15, 30)),
        },
    )


class Trained(NamedTuple):
    """A finished training: where it was run, its folder, and what the command said."""

    cwd: Path
    run: Path
    said: Done

    @property
    def results(self) -> dict[str, Any]:
        return json.loads((self.run / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Three epochs on the small corpus, by the script, from another working directory."""
    cwd = tmp_path_factory.mktemp("elsewhere")
    mapping = ", ".join(f"{name}: {prefix!r}" for name, prefix in corpus.tests.items())
    words = [*corpus.words(), f"data.test={{{mapping}}}", f"run={ODD}", "trainer.max_epochs=3", *SMALL]
    said = script("train", *words, cwd=cwd)
    assert said.code == 0, said.err
    return Trained(cwd, cwd / ODD, said)


@pytest.fixture
def model(trained: Trained) -> str:
    return f"run={trained.run}"


SENTENCES = tiny("test", 30, 42)[0]
TEXT = "".join(f"{line}\n" for line in SENTENCES).encode()


# --- train.py


def test_training_leaves_its_folder_and_nothing_else(trained: Trained) -> None:
    assert [path.name for path in trained.cwd.iterdir()] == [ODD]
    files = {str(path.relative_to(trained.run)) for path in trained.run.rglob("*") if path.is_file()}
    fixed = {"config.json", "data.json", "results.json", "metrics.jsonl", "train.log", "tokenizer/shared.model"}
    pointers = {"checkpoints/best.json", "checkpoints/last.json"}
    texts = {f"translations/{name}.{kind}" for name in ("a", "b-2") for kind in ("source", "reference", "hypothesis")}
    assert fixed | pointers | texts <= files
    others = {name for name in files - fixed - pointers - texts if not name.startswith("tensorboard/")}
    assert all(name.startswith("checkpoints/") and name.endswith((".weights.pt", ".training.pt")) for name in others)
    named = {json.loads((trained.run / pointer).read_text())["weights"] for pointer in pointers}
    assert {f"checkpoints/{name}" for name in named} == {name for name in others if name.endswith(".weights.pt")}
    assert not any(path.is_symlink() for path in trained.run.rglob("*"))


def test_results_hold_what_they_promise(trained: Trained, corpus: Corpus) -> None:
    results = trained.results
    assert results["test"].keys() == {"a", "b-2"}
    for scores in results["test"].values():
        assert scores.keys() == {
            "bleu", "bleu_signature", "chrf", "chrf_signature", "exact_match", "sentences", "seconds",
            "sentences_per_second",
        }  # fmt: skip
        assert 0 <= scores["bleu"] <= 100
        assert 0 < scores["chrf"] <= 100
        assert 0 <= scores["exact_match"] <= 1
        assert scores["sentences"] == 15
        assert "tok:13a" in scores["bleu_signature"]
        assert scores["chrf_signature"].startswith("nrefs:1|case:mixed")
    train_keys = {"updates", "epochs", "seconds", "target_tokens_per_second", "peak_memory_bytes", "stop_reason"}
    assert train_keys <= results["train"].keys()
    assert (results["train"]["updates"], results["train"]["epochs"]) == (45, 3)
    assert results["train"]["stop_reason"] == "trainer.max_epochs=3"
    assert results["train"]["target_tokens_per_second"] > 0
    assert results["train"]["peak_memory_bytes"] > 50_000_000
    assert {"loss", "perplexity", "bleu"} <= results["valid"].keys()
    assert results["model"].keys() == {"parameters", "digest"}
    assert {"torch", "sacrebleu", "sentencepiece", "python", "seq2seq"} <= results["versions"].keys()
    assert "git_commit" in results
    assert results["device"] == "cpu, fp32, 1 thread"
    packed = f"{corpus.first}.de.gz"
    assert results["data"]["files"][packed] == hashlib.sha256(Path(packed).read_bytes()).hexdigest()
    assert len(results["data"]["files"]) == 10
    assert results["data"]["pairs"] == {"train": 300, "valid": 20, "a": 15, "b-2": 15}


def test_the_config_is_resolved_and_at_the_root(trained: Trained) -> None:
    config = json.loads((trained.run / "config.json").read_text(encoding="utf-8"))
    assert config["format_version"] == 1
    assert (config["device"], config["precision"], config["threads"], config["run"]) == ("cpu", "fp32", 1, ODD)
    assert config["encoder"]["name"] == "lstm"
    assert seq2seq.Config.from_dict(config).to_dict() == config


def test_metrics_have_a_line_for_each_validation(trained: Trained) -> None:
    lines = [json.loads(line) for line in (trained.run / "metrics.jsonl").read_text().splitlines()]
    valid = [line for line in lines if line["kind"] == "valid"]
    assert [line["update"] for line in valid] == [15, 30, 45]
    assert valid[-1]["loss"] < valid[0]["loss"]
    best = max(valid, key=lambda line: line["bleu"])
    assert trained.results["valid"]["bleu"] == best["bleu"]


def test_the_log_says_what_the_terminal_showed(trained: Trained) -> None:
    log = (trained.run / "train.log").read_text(encoding="utf-8")
    for line in (
        "300 training pairs",
        "valid after update 45",
        "stopped after update 45: trainer.max_epochs=3",
        "BLEU",
    ):
        assert line in trained.said.err
        assert line in log
    signature = trained.results["test"]["a"]["bleu_signature"]
    assert signature in trained.said.err
    assert str(ODD) in trained.said.err.splitlines()[-2]
    assert "Traceback" not in trained.said.err


def test_the_scored_weights_are_the_ones_that_translate(trained: Trained) -> None:
    translator = seq2seq.Translator.load(trained.run)
    assert digest(translator.model) == trained.results["model"]["digest"]
    sources = read_lines(trained.run / "translations" / "a.source")
    hypotheses = read_lines(trained.run / "translations" / "a.hypothesis")
    assert [translation.text for translation in translator.translate(sources)] == hypotheses
    assert [translation.text for translation in translator.translate(sources[3:4])] == hypotheses[3:4]


def test_training_from_python_stops_at_an_update_and_is_the_same_each_time(corpus: Corpus, here: Path) -> None:
    words = [f"data.train={corpus.second}", "data.valid_split=12", "trainer.max_updates=3", *SMALL, "run=r"]
    run = seq2seq.train(seq2seq.compose(words))
    assert run.folder == Path("r")
    assert run.results == json.loads((here / "r" / "results.json").read_text(encoding="utf-8"))
    assert run.results["test"] == {}
    assert (run.results["train"]["updates"], run.results["train"]["stop_reason"]) == (3, "trainer.max_updates=3")
    assert run.results["data"]["pairs"] == {"train": 88, "valid": 12}
    assert run.results["valid"]["update"] == 3
    assert len(seq2seq.Translator.load(run.folder).translate(["Ein Hund.", ""])) == 2
    again = seq2seq.train(seq2seq.compose([*words[:-1], "run=again"]))
    assert again.results["model"]["digest"] == run.results["model"]["digest"]
    other = seq2seq.train(seq2seq.compose([*words[:-1], "run=other", "seed=2"]))
    assert other.results["model"]["digest"] != run.results["model"]["digest"]


def test_a_run_starts_from_another_ones_weights_and_tokenizer(trained: Trained, corpus: Corpus, here: Path) -> None:
    words = [*corpus.words(), "trainer.max_updates=1", *SMALL, "optimizer.learning_rate=0", "run=r"]
    run = seq2seq.train(seq2seq.compose([*words, f"init={trained.run}"]))
    assert run.results["model"]["digest"] == trained.results["model"]["digest"]
    assert TokenizerPair.load(here / "r" / "tokenizer").source.digest == run.results["data"]["tokenizer"]["source"]
    assert run.results["data"]["tokenizer"] == trained.results["data"]["tokenizer"]


def test_runs_without_a_name_go_under_runs(command: Command, corpus: Corpus, here: Path) -> None:
    done = command("train", *corpus.words(), *SMALL, "encoder=gru", "attention=bahdanau", "trainer.max_updates=1")
    assert done.code == 0, done.err
    (run,) = (here / "runs").iterdir()
    assert run.name.endswith("-gru-bahdanau-lstm")
    assert [path.name for path in here.iterdir()] == ["runs"]


def test_a_sweep_makes_a_run_for_each_choice(command: Command, corpus: Corpus, here: Path) -> None:
    done = command("train", "-m", *corpus.words(), *SMALL, "trainer.max_updates=2", "seed=1,2", "run=s w")
    assert done.code == 0, done.err
    runs = sorted(path for path in (here / "s w").iterdir() if path.is_dir())
    assert [run.name for run in runs] == ["seed=1", "seed=2"]
    assert [json.loads((run / "config.json").read_text())["seed"] for run in runs] == [1, 2]
    assert all((run / "results.json").is_file() for run in runs)
    assert [path.name for path in here.iterdir()] == ["s w"]


def test_a_failing_job_of_a_sweep_lets_the_others_run(command: Command, corpus: Corpus, here: Path) -> None:
    words = [*corpus.words(), *SMALL, "trainer.max_updates=1", "decoder.hidden_size=12"]
    done = command("train", "-m", *words, "attention=luong_dot,luong_general")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.err.count("attention=luong_dot needs decoder.hidden_size (12) to equal") >= 1
    (run,) = (here / "runs" / "sweeps").glob("*/*/")
    assert json.loads((run / "config.json").read_text())["attention"]["name"] == "luong_general"
    assert (run / "results.json").is_file()


# --- bad input


@pytest.fixture
def files(here: Path, tmp_path: Path) -> Path:
    """Files that something is wrong with, in a folder beside `here`."""
    folder = tmp_path / "files"
    folder.mkdir()
    write_pairs(folder / "ok", ["ein Hund", "eine Katze"], ["a dog", "a cat"])
    write_pairs(folder / "uneven", ["eins", "zwei", "drei"], ["one", "two"])
    write_pairs(folder / "empty", [], [])
    write_pairs(folder / "blank", ["", " "], ["a", "b"])
    write_pairs(folder / "latin", ["ein Hund"], ["a dog"])
    (folder / "latin.de").write_bytes("ein Hund\nschön\n".encode("latin-1"))
    return folder


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
    assert list(here.iterdir()) == []


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
    assert done == Done(1, "", "error: device=cuda: torch finds no CUDA device here; use device=auto or device=cpu\n")
    assert list(here.iterdir()) == []


def test_a_folder_that_holds_a_run_is_left_alone(
    command: Command, trained: Trained, corpus: Corpus, model: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.run.rglob("*")}
    done = command("train", *corpus.words(), *SMALL, model)
    message = f"error: run={trained.run} already holds a run; name another folder, or delete this one\n"
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
    weights = json.loads((here / "r" / "checkpoints" / "best.json").read_text())["weights"]
    assert done.err.startswith(f"error: r/checkpoints/{weights} doesn't fit the model of its config: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("translate", [], "which model? set run=FOLDER, the folder that train.py left"),
        ("translate", ["run=r", "beam=3"], "unknown option beam"),
        ("translate", ["run=r", "input=none.txt"], "input=none.txt: No such file or directory"),
        ("translate", ["run=r", "-m"], "only train.py can sweep (-m)"),
        ("evaluate", ["run=r", "reference=x"], "run needs source=FILE to translate"),
        ("evaluate", ["hypothesis=x", "reference=none.txt"], "none.txt: no such file"),
    ],
)
def test_bad_words_of_the_other_scripts(
    name: str, words: list[str], message: str, command: Command, here: Path
) -> None:
    done = command(name, *words)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"error: {message}")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["train", "translate", "evaluate", "benchmark"])
def test_bad_flags_are_another_matter(name: str, command: Command, here: Path) -> None:
    done = command(name, "--no-such-flag")
    assert done.code == 2
    assert "Traceback" not in done.err
    assert list(here.iterdir()) == []


def test_search_options_are_checked_against_the_runs_own(command: Command, model: str) -> None:
    done = command("translate", model, "search.n_best=4", stdin=TEXT)
    message = "search: search.n_best=4 is more than search.beam_size=3 can find; set search.beam_size=4"
    assert done == Done(1, "", f"error: {message}\n")
    done = command("translate", model, "+search.bean_size=4", stdin=TEXT)
    assert done == Done(1, "", "error: search: unknown option bean_size: did you mean beam_size?\n")


# --- translate.py


def test_one_line_out_for_each_line_in(command: Command, model: str) -> None:
    strange = "Ein Hund.\u2028Ein Tisch.\u0085\x0b\x0c"
    lines = ["Ein Hund.", "", "Ein Hund.\r", "   ", strange, "\ufeff", "Ein Hund."]
    done = command("translate", model, stdin="\n".join(lines).encode())  # no newline at the end
    assert (done.code, done.err) == (0, "")
    assert len(done.lines) == len(lines)
    assert done.lines[1] == done.lines[3] == ""
    assert done.lines[0] == done.lines[2] == done.lines[6] != ""
    assert command("translate", model, stdin=b"") == Done(0, "", "")
    assert command("translate", model, stdin=b"\n") == Done(0, "\n", "")


def test_what_is_not_utf8_is_replaced_with_a_warning(command: Command, model: str) -> None:
    done = command("translate", model, stdin="Ein Hund.\nschön\nEin Hund.\n".encode("latin-1"))
    assert done.code == 0
    assert len(done.lines) == 3
    assert done.err == "warning: line 2: not valid UTF-8 (byte 0xF6); U+FFFD put in its place\n"
    assert command("translate", model, stdin="sch\ufffdn\n".encode()).lines == done.lines[1:2]


def test_a_line_without_end_is_cut_with_a_warning(command: Command, model: str) -> None:
    long = " ".join(["Hund"] * 5000)
    words = [model, "search.max_length=20", "search.max_source_length=300", "search.beam_size=1"]
    done = command("translate", *words, stdin=f"Ein Hund.\n{long}\n\nEin Hund.\n".encode())
    assert done.code == 0
    assert len(done.lines) == 4
    assert done.lines[0] == done.lines[3]
    assert done.err.count("\n") == 1
    assert done.err.startswith("warning: line 2: cut from ")
    assert done.err.endswith(" to 300 tokens (search.max_source_length)\n")


@pytest.mark.parametrize("words", [[], ["search.beam_size=1"], ["search.sample=true"]])
def test_the_batch_size_changes_no_text(words: list[str], command: Command, model: str) -> None:
    at_once = command("translate", model, *words, stdin=TEXT)
    assert at_once.code == 0
    assert len(at_once.lines) == len(SENTENCES)
    assert len(set(at_once.lines)) > 1
    assert command("translate", model, *words, "batch_size=1", stdin=TEXT).lines == at_once.lines
    assert command("translate", model, *words, "batch_size=5", stdin=TEXT).lines == at_once.lines


def test_n_best_is_a_json_object_a_line(command: Command, model: str) -> None:
    done = command("translate", model, "search.n_best=3", stdin=TEXT + b"\n")
    assert (done.code, done.err) == (0, "")
    objects = [json.loads(line) for line in done.lines]
    assert [content["source"] for content in objects] == [*SENTENCES, ""]
    for content in objects:
        assert content.keys() == {"source", "hypotheses"}
        assert all(hypothesis.keys() == {"text", "score", "log_prob"} for hypothesis in content["hypotheses"])
        texts = [hypothesis["text"] for hypothesis in content["hypotheses"]]
        scores = [hypothesis["score"] for hypothesis in content["hypotheses"]]
        assert len(set(texts)) == len(texts)
        assert scores == sorted(scores, reverse=True)
    assert all(1 < len(content["hypotheses"]) <= 3 for content in objects[:-1])
    assert [content["hypotheses"][0]["text"] for content in objects] == command(
        "translate", model, stdin=TEXT + b"\n"
    ).lines


def test_attention_has_a_row_for_each_token_and_a_column_for_each_piece(command: Command, model: str) -> None:
    done = command("translate", model, "attention=true", "search.n_best=2", stdin=TEXT)
    for line in done.lines:
        content = json.loads(line)
        assert content.keys() == {"source", "source_tokens", "hypotheses"}
        assert content["source_tokens"][-1] == "</s>"
        assert "".join(content["source_tokens"][:-1]).replace("\u2581", " ").strip() == content["source"]
        for hypothesis in content["hypotheses"]:
            assert hypothesis.keys() == {"text", "score", "log_prob", "tokens", "attention"}
            weights = torch.tensor(hypothesis["attention"])
            assert weights.shape[1] == len(content["source_tokens"])
            assert weights.shape[0] - len(hypothesis["tokens"]) in (0, 1)  # EOS has a row where it was reached
            torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)), atol=1e-4, rtol=0)


def test_a_prefix_is_what_the_translation_begins_with(command: Command, model: str) -> None:
    lines = [{"text": SENTENCES[0], "prefix": "The old dog"}, {"text": SENTENCES[0]}, {"text": "a\nb"}]
    stdin = "".join(json.dumps(line) + "\n" for line in lines).encode()
    done = command("translate", model, "input_format=json", stdin=stdin)
    texts = [json.loads(line)["hypotheses"][0]["text"] for line in done.lines]
    assert texts[0].startswith("The old dog")
    assert len(texts) == 3
    bad = command("translate", model, "input_format=json", stdin=b'{"text": "a"}\n{"txt": "a"}\n')
    assert bad.code == 1
    assert bad.err.startswith('error: line 2: must be an object such as {"text": "...", "prefix": "...", "focus"')
    assert 'of which only text is needed, not {"txt": "a"}' in bad.err


def test_files_with_odd_names(command: Command, model: str, here: Path) -> None:
    source, target = here / "in,put=[1] ü'.txt", here / "~out {2}.txt"
    source.write_bytes(TEXT)
    done = command("translate", model, f"input={source.name}", f"output={target}")
    assert (done.code, done.out) == (0, "")
    assert target.read_text(encoding="utf-8").splitlines() == command("translate", model, stdin=TEXT).lines
    assert sorted(path.name for path in here.iterdir()) == sorted([source.name, target.name])


def test_the_folder_moves_and_needs_nothing_outside(command: Command, trained: Trained, here: Path, model: str) -> None:
    expected = command("translate", model, stdin=TEXT)
    (here / "on another machine").mkdir()
    shutil.copytree(trained.run, here / "on another machine" / "m")
    for name in ("translations", "train.log", "metrics.jsonl"):
        path = here / "on another machine" / "m" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert command("translate", "run=on another machine/m", stdin=TEXT) == expected


@pytest.fixture
def coprocess(model: str, here: Path) -> Iterator[tuple[subprocess.Popen[bytes], queue.Queue[bytes]]]:
    """translate.py with batch_size=1, and the lines that it answers."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "translate.py"), model, "batch_size=1", "threads=1"],
        cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    answers: queue.Queue[bytes] = queue.Queue()
    assert process.stdout is not None
    output = process.stdout
    thread = threading.Thread(target=lambda: [answers.put(line) for line in iter(output.readline, b"")], daemon=True)
    thread.start()
    yield process, answers
    process.kill()
    process.wait()
    thread.join(10)
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def test_a_coprocess_answers_before_it_reads_on(
    coprocess: tuple[subprocess.Popen[bytes], queue.Queue[bytes]], command: Command, model: str
) -> None:
    process, answers = coprocess
    assert process.stdin is not None
    got = []
    for line in ("Ein Hund.", "", SENTENCES[0]):
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
        got.append(answers.get(timeout=60).decode().rstrip("\n"))
    assert got == command("translate", model, stdin=f"Ein Hund.\n\n{SENTENCES[0]}\n".encode()).lines
    process.stdin.close()
    assert process.wait(60) == 0


def test_a_reader_that_goes_away_ends_it_quietly(model: str, here: Path) -> None:
    (here / "in.txt").write_bytes(TEXT * 40)
    translate = [sys.executable, str(SCRIPTS / "translate.py"), model, "input=in.txt", "batch_size=2", "threads=1"]
    with subprocess.Popen(translate, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read().decode()
    assert error == ""
    assert process.returncode in (0, 141)


# --- evaluate.py


def test_a_model_is_scored_like_the_final_test(
    command: Command, trained: Trained, model: str, corpus: Corpus, here: Path
) -> None:
    source, reference = f"{corpus.tests['a']}.de", f"{corpus.tests['a']}.en"
    words = [model, f"source={source}", f"reference={reference}", "hypothesis=h, [y]", "output=o=,.json"]
    done = command("evaluate", *words)
    assert done.code == 0, done.err
    scores = json.loads((here / "o=,.json").read_text(encoding="utf-8"))
    test = trained.results["test"]["a"]
    same = ("bleu", "bleu_signature", "chrf", "chrf_signature", "exact_match", "sentences")
    assert {name: scores[name] for name in same} == {name: test[name] for name in same}
    assert {"ter", "ter_signature", "loss", "perplexity", "sentences_per_second"} <= scores.keys()
    assert scores["loss"] > 0
    assert f"{scores['bleu']:.2f}" in done.out
    assert all(scores[f"{name}_signature"] in done.out for name in ("bleu", "chrf", "ter"))
    assert read_lines(here / "h, [y]") == read_lines(trained.run / "translations" / "a.hypothesis")
    assert sorted(path.name for path in here.iterdir()) == ["h, [y]", "o=,.json"]


def test_a_translation_is_scored_without_a_model(command: Command, here: Path) -> None:
    (here / "h").write_text("the cat sat on the mat\na dog\n")
    (here / "r,1").write_text("the cat sat on the mat\na big dog\n")
    (here / "r2").write_text("one cat was on the mat\na dog\n")
    one = command("evaluate", "hypothesis=h", "reference=r,1", "output=one.json")
    two = command("evaluate", "hypothesis=h", "reference=['r,1',r2]", "output=two.json")
    assert (one.code, two.code) == (0, 0), one.err + two.err
    first, second = (json.loads((here / name).read_text()) for name in ("one.json", "two.json"))
    assert (first["exact_match"], second["exact_match"]) == (0.5, 1.0)
    assert second["bleu"] == pytest.approx(100.0)
    assert first["bleu"] < 100
    assert first["bleu_signature"].startswith("nrefs:1|")
    assert second["bleu_signature"].startswith("nrefs:2|")
    assert "loss" not in first


def test_the_metric_is_the_users_choice(command: Command, here: Path) -> None:
    (here / "h").write_text("The Cat sat on the mat .\n")
    (here / "r").write_text("the cat sat on the mat .\n")
    words = ["hypothesis=h", "reference=r", "output=o"]
    assert command("evaluate", *words, "metric.lowercase=true", "metric.tokenize=none").code == 0
    scores = json.loads((here / "o").read_text())
    assert scores["bleu"] == pytest.approx(100.0)
    assert "case:lc" in scores["bleu_signature"]
    assert "tok:none" in scores["bleu_signature"]
    bad = command("evaluate", *words, "metric.tokenize=13b")
    assert (bad.code, bad.out) == (1, "")
    assert "tokenize=13b is not allowed: it must be one of 13a, none, intl" in bad.err


def test_files_that_are_not_aligned_are_not_scored(command: Command, files: Path) -> None:
    done = command("evaluate", f"hypothesis={files}/uneven.de", f"reference={files}/uneven.en")
    message = f"error: {files}/uneven.de has 3 lines but {files}/uneven.en has 2; they must be aligned\n"
    assert done == Done(1, "", message)


# --- from Python


def test_the_translator_from_python(trained: Trained) -> None:
    translator = seq2seq.Translator.load(trained.run, search={"n_best": 2})
    translations = translator.translate([*SENTENCES, ""], attention=True)
    assert len(translations) == len(SENTENCES) + 1
    assert translations[-1].text == ""
    first = translations[0]
    assert first.text == first.hypotheses[0].text
    assert first.score == first.hypotheses[0].score
    assert first.tokens == first.hypotheses[0].tokens
    assert first.attention is not None
    assert first.attention.shape[1] == len(first.source_tokens)
    (pair,) = translator.score([SENTENCES[0]], [first.text], attention=True)
    assert pair.log_prob == pytest.approx(sum(pair.token_log_probs), abs=1e-4)
    assert pair.attention is not None
    assert pair.attention.shape == (len(pair.tokens), len(pair.source_tokens))
    if pair.tokens[:-1] == first.tokens:
        assert pair.log_prob == pytest.approx(first.hypotheses[0].log_prob, abs=1e-3)


def test_nothing_from_here_is_left_in_the_working_directory() -> None:
    left = {"outputs", "multirun", ".hydra"} & set(os.listdir())
    assert left == set()
