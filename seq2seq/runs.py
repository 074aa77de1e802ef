"""A run's folder: config, tokenizer, checkpoints, metrics, results. Moved elsewhere whole, it still translates.

Every file is written beside its place, synced, and renamed into it: a reader never sees half of one. Nothing that is
read from a folder can run, and nothing is read or written outside of it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.config import FORMAT_VERSION, Config
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.files import read_json, refuse_foreign, write_atomically, write_json
from seq2seq.locks import Lock

if TYPE_CHECKING:
    from seq2seq.checkpoints import Checkpoints


class RunFolder:
    """Paths, and what is read from and written to them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokenizer = path / "tokenizer"
        self.translations = path / "translations"
        self.lexicon = path / "lexicon.safetensors"
        self.log = path / "train.log"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.lock = Lock(path / ".lock")  # held by the process that trains

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Here torch is imported: a run's config can be read without waiting for it."""
        from seq2seq.checkpoints import Checkpoints

        return Checkpoints(self.path / "checkpoints")

    def create(self, config: Config) -> None:
        """Makes the folder, this process's until `lock` is released, with its config.json.

        Raises:
            ConfigError: it can't be made.
            CheckpointError: another training has begun in it, or what lies there leads elsewhere.
        """
        try:
            str(self.path).encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"run={self.path}: weights can't be saved under a name that isn't UTF-8") from error
        try:
            if self.path.is_dir():
                refuse_foreign(self.path)  # now, not when it is opened after the training
            self.translations.mkdir(parents=True, exist_ok=True)
            self.checkpoints.folder.mkdir(exist_ok=True)
            if not self.lock.held:
                self.own()
                self.refuse_existing()  # one that began, and ended, while we read the data
            self.write_config(config)
        except OSError as error:
            raise ConfigError(f"run={self.path} can't be made: {error.strerror}; name another folder") from error

    def refuse_existing(self) -> None:
        """ConfigError where the folder holds a run already: nothing is overwritten."""
        if self.exists:
            raise ConfigError(
                f"run={self.path} already holds a run; go on with it by resume=auto, name another folder, or delete "
                "this one"
            )
        if os.path.exists(self.path) and not self.path.is_dir():
            raise ConfigError(f"run={self.path} is a file; name a folder")

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return os.path.exists(self.path / "config.json")  # unlike Path.exists, false for names that can't be

    def own(self) -> None:
        """Keeps every other training out of the folder, which must exist, until `lock` is released.

        Raises:
            CheckpointError: another training is at work in it, or it can't be written to.
        """
        if self.lock.held:
            return
        try:
            free = self.lock.acquire()
        except OSError as error:
            raise CheckpointError(f"run={self.path} can't be written to: {error.strerror}") from error
        if not free:
            raise CheckpointError(
                f"run={self.path} is being trained by {self.lock.owner()}; wait for it, stop it, or name another folder"
            )

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A folder that a training run left.

        Raises:
            CheckpointError: it isn't there, isn't a run, is of another format, or leads elsewhere by its links.
        """
        if path.is_file():
            raise CheckpointError(f"run={path} is a file; name the folder that train.py left")
        if not path.is_dir():
            several = "; several runs are written run=[A,B]" if "," in str(path) else ""
            raise CheckpointError(f"run={path}: no such folder{several}")
        if not (path / "config.json").is_file():
            raise CheckpointError(f"run={path} is not a run's folder: it has no config.json; train.py makes one")
        refuse_foreign(path)
        found = read_json(path / "config.json").get("format_version")
        if found != FORMAT_VERSION:
            name = path / "config.json"
            raise CheckpointError(f"{name} has format_version {repr(found)[:40]}; this seq2seq reads {FORMAT_VERSION}")
        return cls(path)

    def read_config(self) -> Config:
        """The run's config, through the strict constructor."""
        file = self.path / "config.json"
        try:
            return Config.from_dict(read_json(file))
        except ConfigError as error:
            hint = "a component of your own must be registered before its run is loaded"
            raise CheckpointError(f"{file} can't be used: {error}\n({hint})") from error

    def write_config(self, config: Config) -> None:
        self.write_json("config.json", config.to_dict())

    def note_session(self, **facts: Any) -> None:
        """A line of sessions.jsonl: when a process began to train here, from which update, with what changed."""
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **facts}
        with (self.path / "sessions.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        return read_json(self.path / name)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        write_json(self.path / name, content)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl that are whole, with their kind, their update and the finite numbers in them.

        The last one, of a training that is at work or was killed, may be torn.
        """
        lines = []
        for text in self.metrics.read_bytes().splitlines() if self.metrics.is_file() else []:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict) and _is_number(line.get("update")):
                numbers = {key: value for key, value in line.items() if _is_number(value)}
                lines.append({"kind": line.get("kind"), **numbers})
        return lines

    def write_lines(self, name: str, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        # newline="" keeps a carriage return inside a line as it is
        write_atomically(self.translations / name, lambda file: file.write_text(text, encoding="utf-8", newline=""))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
