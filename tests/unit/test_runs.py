"""The run's folder: what it refuses, what it writes whole or not at all, and what it won't read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from seq2seq.config import FORMAT_VERSION, Config
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.models.weights import digest
from seq2seq.runs import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    """A new run's, which this process holds."""
    made = RunFolder(tmp_path / "run")
    with made.lock:
        made.create(Config())
        yield made


def refuses(kind: type[Exception], message: str) -> Any:
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def holds_a_run(path: Path) -> str:
    return f"run={path} already holds a run; go on with it by resume=auto, name another folder, or delete this one"


def test_a_new_folder_opens_and_gives_its_config_back(tmp_path: Path) -> None:
    config = Config.from_dict({"attention": "bahdanau", "data": {"train": "ü"}})
    made = RunFolder(tmp_path / "a" / "b")
    assert not made.exists
    with made.lock:
        made.create(config)
    plain = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    assert plain["format_version"] == FORMAT_VERSION
    assert made.exists
    assert RunFolder.open(made.path).read_config() == config
    assert made.checkpoints.folder.is_dir()
    assert made.translations.is_dir()


def test_an_empty_folder_may_become_a_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.lock:
        folder.create(Config())
    assert RunFolder.open(tmp_path).path == tmp_path


def test_a_run_is_not_overwritten(folder: RunFolder) -> None:
    before = (folder.path / "config.json").read_bytes()
    folder.lock.release()
    other = RunFolder(folder.path)
    for refused in (other.refuse_existing, lambda: other.create(Config(seed=2))):
        with other.lock, refuses(ConfigError, holds_a_run(folder.path)):
            refused()
    assert (folder.path / "config.json").read_bytes() == before


def test_a_run_that_nothing_was_saved_in_may_be_begun_again_by_its_owner(folder: RunFolder) -> None:
    folder.create(Config(seed=2))
    assert folder.read_config().seed == 2


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refuses(ConfigError, f"run={tmp_path / 'file'} is a file; name a folder"):
        RunFolder(tmp_path / "file").refuse_existing()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "run"
    with refuses(ConfigError, f"run={path} can't be made: Not a directory; name another folder"):
        RunFolder(path).create(Config())
    path = tmp_path / ("x" * 300)
    with refuses(ConfigError, f"run={path} can't be made: File name too long; name another folder"):
        RunFolder(path).create(Config())
    assert not RunFolder(path).exists


def test_a_name_that_weights_cannot_be_saved_under_is_refused_at_once(tmp_path: Path) -> None:
    """The library that writes them knows only UTF-8: otherwise the first checkpoint would say so."""
    path = tmp_path / os.fsdecode(b"caf\xe9")
    with refuses(ConfigError, f"run={path}: weights can't be saved under a name that isn't UTF-8"):
        RunFolder(path).create(Config())
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_run_does_not_open(tmp_path: Path) -> None:
    with refuses(CheckpointError, f"run={tmp_path / 'no'}: no such folder"):
        RunFolder.open(tmp_path / "no")
    with refuses(CheckpointError, f"run={tmp_path} is not a run's folder: it has no config.json; train.py makes one"):
        RunFolder.open(tmp_path)
    with refuses(CheckpointError, f"run={tmp_path}/a,b: no such folder; several runs are written run=[A,B]"):
        RunFolder.open(tmp_path / "a,b")
    (tmp_path / "file").touch()
    with refuses(CheckpointError, f"run={tmp_path}/file is a file; name the folder that train.py left"):
        RunFolder.open(tmp_path / "file")


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        *((1, "1"), (0, "0"), (None, "None"), ("2", "'2'"), ([[2]], "[[2]]")),
        *(("\x1b[2J", r"'\x1b[2J'"), (10**4000, "1" + 39 * "0")),
    ],
)
def test_another_format_does_not_open(folder: RunFolder, found: object, shown: str) -> None:
    file = folder.path / "config.json"
    file.write_text(json.dumps({**Config().to_dict(), "format_version": found}))
    with refuses(CheckpointError, f"{file} has format_version {shown}; this seq2seq reads {FORMAT_VERSION}"):
        RunFolder.open(folder.path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format_version": 1,', "is not valid JSON: "),
        (b"", "is not valid JSON: "),
        (b"\xff\xfe", "is not valid JSON: "),
        (b"[1]", "must hold a JSON object"),
    ],
)
def test_a_broken_config_says_where(folder: RunFolder, content: bytes, message: str) -> None:
    file = folder.path / "config.json"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"^{re.escape(f'{file} {message}')}"):
        RunFolder.open(folder.path)


def test_a_config_of_another_world_is_refused_strictly(folder: RunFolder) -> None:
    file = folder.path / "config.json"
    file.write_text(json.dumps({**Config().to_dict(), "plugin": "os.system"}))
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(file))} can't be used: unknown option plugin"):
        RunFolder.open(folder.path).read_config()


def test_paths_that_are_not_unicode_are_written_and_read(folder: RunFolder) -> None:
    config = Config.from_dict({"data": {"train": os.fsdecode(b"caf\xe9")}})
    folder.write_config(config)
    assert RunFolder.open(folder.path).read_config() == config


def test_weights_are_saved_and_loaded(folder: RunFolder) -> None:
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    folder.checkpoints.save(7, model, {}, rank=1.0, scores={"bleu": 1.0}, keep_last=1, keep_best=1)
    folder.checkpoints.wait()
    assert RunFolder.open(folder.path).checkpoints.load_weights(other, "best").scores == {"bleu": 1.0}
    assert digest(other) == digest(model)


def test_without_a_checkpoint_there_are_no_weights(folder: RunFolder) -> None:
    message = f"{folder.checkpoints.folder} holds no checkpoint that can be used: its training saved none yet"
    with refuses(CheckpointError, message):
        RunFolder.open(folder.path).checkpoints.load_weights(nn.Linear(1, 1), "best")


def test_a_moved_folder_is_the_same_run(folder: RunFolder, tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    folder.checkpoints.save(7, model, {}, rank=None, scores={}, keep_last=1, keep_best=1)
    folder.checkpoints.wait()
    folder.lock.release()
    folder.path.rename(tmp_path / "elsewhere")
    moved, other = RunFolder.open(tmp_path / "elsewhere"), nn.Linear(3, 2)
    moved.checkpoints.load_weights(other, "last")
    assert digest(other) == digest(model)


def in_another_process(path: Path) -> str:
    """What a second training would be told."""
    program = (
        "import sys; from pathlib import Path; from seq2seq.locks import Lock\n"
        "lock = Lock(Path(sys.argv[1]) / '.lock'); print(lock.acquire() or lock.owner())"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_folder_has_one_training_at_a_time(folder: RunFolder) -> None:
    second = RunFolder(folder.path)
    message = f"run={folder.path} is being trained by this process; wait for it, stop it, or name another folder"
    with refuses(CheckpointError, message):
        second.own()
    with refuses(CheckpointError, message):
        second.create(Config())
    assert in_another_process(folder.path).startswith(f"process {os.getpid()} on ")
    folder.own()  # it does already
    folder.lock.release()
    assert in_another_process(folder.path) == "True"


def test_all_that_a_training_does_with_its_folder_leaves_the_lock_alone(folder: RunFolder) -> None:
    """A process that closes any descriptor of the locked file lets go of it."""
    folder.checkpoints.save(1, nn.Linear(1, 1), {}, rank=None, scores={}, keep_last=1, keep_best=1)
    folder.checkpoints.wait()
    opened = RunFolder.open(folder.path)
    opened.read_config()
    opened.checkpoints.load_newest(nn.Linear(1, 1))
    folder.write_lines("a.source", ["x"])
    folder.write_json("data.json", {})
    folder.note_session(update=1)
    folder.create(Config())
    with pytest.raises(CheckpointError):
        opened.own()
    assert in_another_process(folder.path).startswith(f"process {os.getpid()} on ")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    folder = RunFolder(tmp_path)
    monkeypatch.setattr(Path, "open", fail)
    with refuses(CheckpointError, f"run={tmp_path} can't be written to: Read-only file system"):
        folder.own()
    assert not folder.lock.held


def test_sessions_are_noted_a_line_each(folder: RunFolder) -> None:
    folder.note_session(update=0, changes={})
    folder.note_session(update=7, changes={"trainer.max_epochs": (10, 20)})
    lines = [json.loads(line) for line in (folder.path / "sessions.jsonl").read_text().splitlines()]
    assert [(line["update"], line["changes"]) for line in lines] == [(0, {}), (7, {"trainer.max_epochs": [10, 20]})]


def test_lines_are_written_as_they_are(folder: RunFolder) -> None:
    folder.write_lines("test.source", ["a\rb", "", "ü\u2028x"])
    assert (folder.translations / "test.source").read_bytes() == "a\rb\n\nü\u2028x\n".encode()
