"""A run's folder: config, tokenizer, checkpoints, metrics, results. Moved elsewhere whole, it still translates.

Every file is written beside its place, synced, and renamed into it: a reader never sees half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seq2seq.config import FORMAT_VERSION, Config
from seq2seq.errors import CheckpointError, ConfigError

Which = Literal["best", "last"]


class RunFolder:
    """Paths, and what is read from and written to them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokenizer = path / "tokenizer"
        self.checkpoints = path / "checkpoints"
        self.translations = path / "translations"
        self.log = path / "train.log"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"

    @classmethod
    def create(cls, path: Path, config: Config) -> RunFolder:
        """A new folder, with its config.json.

        Raises:
            ConfigError: it holds a run already, or it can't be made.
        """
        cls.refuse_existing(path)
        folder = cls(path)
        try:
            folder.translations.mkdir(parents=True, exist_ok=True)
            folder.checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(f"run={path} can't be made: {error.strerror}; name another folder") from error
        folder.write_json("config.json", config.to_dict())
        return folder

    @staticmethod
    def refuse_existing(path: Path) -> None:
        """ConfigError where `path` holds a run already: nothing is overwritten."""
        if os.path.exists(path / "config.json"):  # unlike Path.exists, false for names that can't be
            raise ConfigError(f"run={path} already holds a run; name another folder, or delete this one")
        if os.path.exists(path) and not path.is_dir():
            raise ConfigError(f"run={path} is a file; name a folder")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A folder that a training run left.

        Raises:
            CheckpointError: it isn't there, isn't a run, or is of another format.
        """
        if not path.is_dir():
            raise CheckpointError(f"run={path}: no such folder")
        if not (path / "config.json").is_file():
            raise CheckpointError(f"run={path} is not a run's folder: it has no config.json; train.py makes one")
        found = _read_json(path / "config.json").get("format_version")
        if found != FORMAT_VERSION:
            name = path / "config.json"
            raise CheckpointError(f"{name} has format_version {found}; this seq2seq reads {FORMAT_VERSION}")
        return cls(path)

    def read_config(self) -> Config:
        """The run's config, through the strict constructor."""
        file = self.path / "config.json"
        try:
            return Config.from_dict(_read_json(file))
        except ConfigError as error:
            hint = "a component of your own must be registered before its run is loaded"
            raise CheckpointError(f"{file} can't be used: {error}\n({hint})") from error

    def read_json(self, name: str) -> dict[str, Any]:
        return _read_json(self.path / name)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
        # a file name that isn't UTF-8 has lone surrogates, which JSON can spell as \udcXX
        write_atomically(
            self.path / name, lambda file: file.write_text(text, encoding="utf-8", errors="backslashreplace")
        )

    def write_lines(self, name: str, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        # newline="" keeps a carriage return inside a line as it is
        write_atomically(self.translations / name, lambda file: file.write_text(text, encoding="utf-8", newline=""))

    def save_checkpoint(self, update: int, model: nn.Module, training_state: Mapping[str, Any]) -> None:
        """Weights and training state of this update; `point` then names them."""
        weights = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
        write_atomically(self._weights(update), lambda file: torch.save(weights, file))
        write_atomically(self._state(update), lambda file: torch.save(dict(training_state), file))

    def has_checkpoint(self, update: int) -> bool:
        return self._state(update).exists()

    def point(self, which: Which, update: int, scores: Mapping[str, Any]) -> None:
        """Makes `which` name the checkpoint of this update."""
        pointer = {"update": update, "weights": self._weights(update).name, "valid": dict(scores)}
        self.write_json(f"checkpoints/{which}.json", pointer)

    def pointer(self, which: Which) -> dict[str, Any]:
        """The pointer's content: update, weights' file, validation scores.

        Raises:
            CheckpointError: nothing was saved yet.
        """
        file = self.checkpoints / f"{which}.json"
        if not file.is_file():
            raise CheckpointError(f"run={self.path} holds no {which} checkpoint: its training saved none yet")
        return _read_json(file)

    def drop_checkpoints(self, keep_last: int) -> None:
        """Deletes all but the newest `keep_last` checkpoints and the best."""
        files = sorted(self.checkpoints.glob("*.weights.pt"))
        best = self.pointer("best")["weights"] if (self.checkpoints / "best.json").exists() else None
        for file in files[:-keep_last]:
            if file.name != best:
                file.with_name(file.name.replace(".weights.", ".training.")).unlink(missing_ok=True)
                file.unlink()

    def load_weights(self, model: nn.Module, which: Which) -> None:
        """Puts a checkpoint's weights into `model`; only tensors are read, never code.

        Raises:
            CheckpointError: missing, unreadable, or of another model than the config's.
        """
        name = str(self.pointer(which).get("weights"))
        file = self.checkpoints / Path(name).name
        try:
            weights = torch.load(file, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise CheckpointError(f"{file} is missing, though {which}.json names it") from error
        except Exception as error:  # torch raises many kinds for a damaged file
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise CheckpointError(f"{file} can't be read as weights: {reason}") from error
        fit(model, weights, str(file))

    def _weights(self, update: int) -> Path:
        return self.checkpoints / f"{update:08d}.weights.pt"

    def _state(self, update: int) -> Path:
        return self.checkpoints / f"{update:08d}.training.pt"


def fit(model: nn.Module, weights: Any, origin: str) -> None:
    """Loads `weights` into `model` when names and shapes are the same.

    Raises:
        CheckpointError: with the first difference.
    """
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{origin} doesn't hold a model's weights")
    own = model.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        if name not in weights or name not in own:
            holder = "the config's model" if name in own else "the checkpoint"
            raise CheckpointError(f"{origin} doesn't fit the model of its config: only {holder} has {name}")
        if own[name].shape != weights[name].shape:
            raise CheckpointError(
                f"{origin} doesn't fit the model of its config: {name} is {tuple(weights[name].shape)}, "
                f"not {tuple(own[name].shape)}"
            )
    model.load_state_dict(weights)


def digest(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of the weights."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a name beside `path`, syncs what it wrote, and renames it into place."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return content
