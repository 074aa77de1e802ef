"""The run's folder: what it refuses, what it writes whole or not at all, and what it won't read."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seq2seq.config import Config
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.runs import RunFolder, digest, fit, write_atomically


def small_model() -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", Config())


@pytest.fixture
def saved(folder: RunFolder) -> RunFolder:
    """A folder with one checkpoint, which is the best."""
    folder.save_checkpoint(7, small_model(), {"update": 7})
    folder.point("best", 7, {"bleu": 1.0})
    return folder


def weights_file(folder: RunFolder) -> Path:
    return folder.checkpoints / folder.pointer("best")["weights"]


def refuses(kind: type[Exception], message: str) -> Any:
    return pytest.raises(kind, match=f"^{re.escape(message)}$")


def test_a_new_folder_opens_and_gives_its_config_back(tmp_path: Path) -> None:
    config = Config.from_dict({"attention": "bahdanau", "data": {"train": "ü"}})
    made = RunFolder.create(tmp_path / "a" / "b", config)
    assert json.loads((made.path / "config.json").read_text(encoding="utf-8"))["format_version"] == 1
    assert RunFolder.open(made.path).read_config() == config
    assert made.checkpoints.is_dir()
    assert made.translations.is_dir()


def test_an_empty_folder_may_become_a_run(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, Config())
    assert RunFolder.open(tmp_path).path == tmp_path


def test_a_run_is_not_overwritten(folder: RunFolder) -> None:
    before = (folder.path / "config.json").read_bytes()
    with refuses(ConfigError, f"run={folder.path} already holds a run; name another folder, or delete this one"):
        RunFolder.create(folder.path, Config(seed=2))
    assert (folder.path / "config.json").read_bytes() == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refuses(ConfigError, f"run={tmp_path / 'file'} is a file; name a folder"):
        RunFolder.create(tmp_path / "file", Config())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "run"
    with refuses(ConfigError, f"run={path} can't be made: Not a directory; name another folder"):
        RunFolder.create(path, Config())
    path = tmp_path / ("x" * 300)
    with refuses(ConfigError, f"run={path} can't be made: File name too long; name another folder"):
        RunFolder.create(path, Config())


def test_what_is_not_a_run_does_not_open(tmp_path: Path) -> None:
    with refuses(CheckpointError, f"run={tmp_path / 'no'}: no such folder"):
        RunFolder.open(tmp_path / "no")
    with refuses(CheckpointError, f"run={tmp_path} is not a run's folder: it has no config.json; train.py makes one"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("found", [2, 0, None, "1"])
def test_another_format_does_not_open(folder: RunFolder, found: object) -> None:
    file = folder.path / "config.json"
    file.write_text(json.dumps({**Config().to_dict(), "format_version": found}))
    with refuses(CheckpointError, f"{file} has format_version {found}; this seq2seq reads 1"):
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


def test_paths_that_are_not_unicode_are_written_and_read(tmp_path: Path) -> None:
    config = Config.from_dict({"run": os.fsdecode(b"caf\xe9")})
    made = RunFolder.create(tmp_path / "run", config)
    assert RunFolder.open(made.path).read_config() == config


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_atomically(file, lambda path: path.write_text("old"))

    def fail(path: Path) -> None:
        path.write_text("half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(file, fail)
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def write(path: Path) -> None:
        path.write_text("new")
        assert path.parent == file.parent
        assert file.read_text() == "old"

    write_atomically(file, write)
    assert file.read_text() == "new"


def test_weights_come_back_as_they_were(saved: RunFolder) -> None:
    model = small_model()
    for parameter in model.parameters():
        parameter.data.zero_()
    saved.load_weights(model, "best")
    assert digest(model) == digest(small_model())


def test_without_a_checkpoint_there_are_no_weights(folder: RunFolder) -> None:
    with refuses(CheckpointError, f"run={folder.path} holds no best checkpoint: its training saved none yet"):
        folder.load_weights(small_model(), "best")


class Malicious:
    """Unpickled, it would make a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", ["pickle", "torch"])
def test_code_in_a_checkpoint_is_refused_and_not_run(saved: RunFolder, tmp_path: Path, protocol: str) -> None:
    file, target = weights_file(saved), tmp_path / "executed"
    if protocol == "pickle":
        file.write_bytes(pickle.dumps(Malicious(target), protocol=2))
    else:
        torch.save({"weight": Malicious(target)}, file)
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(file))} can't be read as weights: "):
        saved.load_weights(small_model(), "best")
    assert not target.exists()


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_truncated_checkpoint_is_refused(saved: RunFolder, kept: int) -> None:
    file = weights_file(saved)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(file))} can't be read as weights: ") as caught:
        saved.load_weights(small_model(), "best")
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_named(saved: RunFolder) -> None:
    file = weights_file(saved)
    file.unlink()
    with refuses(CheckpointError, f"{file} is missing, though best.json names it"):
        saved.load_weights(small_model(), "best")


def test_weights_of_another_model_are_refused_with_the_first_difference() -> None:
    model = nn.Linear(3, 2)
    start = "FILE doesn't fit the model of its config: "
    with refuses(CheckpointError, start + "weight is (4, 3), not (2, 3)"):
        fit(model, nn.Linear(3, 4, bias=False).state_dict() | {"bias": torch.zeros(2)}, "FILE")
    with refuses(CheckpointError, start + "only the config's model has bias"):
        fit(model, {"weight": model.weight}, "FILE")
    with refuses(CheckpointError, start + "only the checkpoint has extra"):
        fit(model, model.state_dict() | {"extra": torch.zeros(1)}, "FILE")
    for other in ([1], torch.zeros(2), {"weight": [1.0]}, None):
        with refuses(CheckpointError, "FILE doesn't hold a model's weights"):
            fit(model, other, "FILE")


def test_a_refused_checkpoint_changes_no_weight() -> None:
    model = small_model()
    before = digest(model)
    with pytest.raises(CheckpointError):
        fit(model, small_model().state_dict() | {"zzz": torch.zeros(1)}, "FILE")
    assert digest(model) == before


@pytest.mark.parametrize("name", ["../../outside.pt", "/outside.pt", "..", "", "a/../../outside.pt"])
def test_a_pointer_leads_nowhere_outside(saved: RunFolder, name: str, tmp_path: Path) -> None:
    torch.save(small_model().state_dict(), tmp_path / "outside.pt")
    named = str(tmp_path / "outside.pt") if name.startswith("/") else name
    saved.write_json("checkpoints/best.json", {"update": 7, "weights": named})
    with pytest.raises(CheckpointError):
        saved.load_weights(small_model(), "best")


@pytest.mark.parametrize(
    "content", ["{}", '{"weights": null}', '{"weights": 5}', "[]", "{", '{"weights": "a\\u0000b"}']
)
def test_a_broken_pointer_is_refused(saved: RunFolder, content: str) -> None:
    (saved.checkpoints / "best.json").write_text(content)
    with pytest.raises(CheckpointError):
        saved.load_weights(small_model(), "best")


def test_the_digest_depends_on_every_weight_and_its_name_and_on_nothing_else() -> None:
    digests = {digest(small_model())}
    assert digests == {digest(small_model())}
    assert re.fullmatch(r"[0-9a-f]{64}", *digests)
    for name, tensor in small_model().state_dict().items():
        for place in range(tensor.numel()):
            model = small_model()
            flat = model.state_dict()[name].view(-1)
            flat[place] += 1
            digests.add(digest(model))
    assert len(digests) == 1 + sum(tensor.numel() for tensor in small_model().state_dict().values())
    assert digest(nn.Sequential(nn.Identity(), *small_model())) not in digests


def test_the_digest_depends_on_shapes() -> None:
    flat, square = nn.Linear(4, 1, bias=False), nn.Linear(2, 2, bias=False)
    square.weight.data = flat.weight.data.view(2, 2)
    assert digest(flat) != digest(square)


def names(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.checkpoints.glob("*.pt"))


def pairs(*updates: int) -> list[str]:
    return sorted(f"{update:08d}.{kind}.pt" for update in updates for kind in ("weights", "training"))


def test_the_newest_checkpoints_and_the_best_are_kept(folder: RunFolder) -> None:
    for update in (5, 10, 50, 100):
        folder.save_checkpoint(update, small_model(), {})
        folder.point("last", update, {})
    folder.drop_checkpoints(3)
    assert names(folder) == pairs(10, 50, 100)
    folder.point("best", 10, {})
    folder.drop_checkpoints(1)
    assert names(folder) == pairs(10, 100)
    assert folder.has_checkpoint(10)
    assert not folder.has_checkpoint(50)
    folder.load_weights(small_model(), "best")
    folder.load_weights(small_model(), "last")


def test_lines_are_written_as_they_are(folder: RunFolder) -> None:
    folder.write_lines("test.source", ["a\rb", "", "ü\u2028x"])
    assert (folder.translations / "test.source").read_bytes() == "a\rb\n\nü\u2028x\n".encode()
