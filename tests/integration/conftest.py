"""The scripts' surroundings: a working directory, a corpus with odd names, a model trained on it."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import torch_settings_kept
from support.scripts import ODD, SMALL, Command, Corpus, Done, Trained, script, tiny, write_pairs

from seq2seq import cli


@pytest.fixture(autouse=True)
def _state_of_the_process() -> Iterator[None]:
    """Runs in this process change its logger and torch's settings; the next test finds them as they were."""
    logger = logging.getLogger("seq2seq")
    handlers, propagate, level = list(logger.handlers), logger.propagate, logger.level
    with torch_settings_kept():
        yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


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


@pytest.fixture(scope="session")
def trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Three epochs on the small corpus, by the script, from another working directory."""
    cwd = tmp_path_factory.mktemp("elsewhere")
    mapping = ", ".join(f"{name}: {prefix!r}" for name, prefix in corpus.tests.items())
    words = [*corpus.words(), f"data.test={{{mapping}}}", f"run={ODD}", "trainer.max_epochs=3", *SMALL]
    said = script("train", *words, cwd=cwd)
    assert said.code == 0, said.err
    run = cwd / ODD
    return Trained(cwd, run, said, frozenset(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()))


@pytest.fixture
def model(trained: Trained) -> str:
    return f"run={trained.run}"


@pytest.fixture
def files(here: Path, tmp_path: Path) -> Path:
    """Files that something is wrong with, in a folder beside `here`."""
    folder = tmp_path / "files"
    folder.mkdir()
    write_pairs(folder / "ok", ["ein Hund", "eine Katze"], ["a dog", "a cat"])
    write_pairs(folder / "uneven", ["eins", "zwei", "drei"], ["one", "two"])
    write_pairs(folder / "empty", [], [])
    write_pairs(folder / "blank", ["", " "], ["a", "b"])
    write_pairs(folder / "latin", ["ein Hund", "schön"], ["a dog", "nice"])
    (folder / "latin.de").write_bytes("ein Hund\nschön\n".encode("latin-1"))
    return folder
