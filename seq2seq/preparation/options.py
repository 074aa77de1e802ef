"""Options of prepare_data.py and of its check; each is explained in configs/prepare_data.yaml and check_data.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from seq2seq.config import checked
from seq2seq.options.base import number
from seq2seq.options.data import DataConfig

NAME = re.compile(r"\w[\w.-]*")  # of a file in our folders: no way out of them
SHA256 = re.compile(r"[0-9a-f]{64}")

Markup = Literal["lines", "talks", "segments", "straight_segments"]


@dataclass(frozen=True)
class RecipeConfig:
    """Where a corpus is and what is done to it: plain data, in configs/hydra/recipe."""

    name: str = ""
    about: str = ""
    licence: str = ""
    published: str = ""
    done: list[str] = field(default_factory=list)
    source: str = ""
    target: str = ""
    files: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str | None] = field(default_factory=dict)
    sets: dict[str, list[str]] = field(default_factory=dict)
    markup: dict[str, Markup] = field(default_factory=dict)
    moses: bool = False
    written: Literal["raw", "tokens"] = "raw"
    lowercase: bool = False
    longest: int | None = number(None, 1)
    ratio: float | None = number(None, 1.0)
    hold_out: int | None = number(None, 2)
    valid: str = "valid"
    lines: dict[str, int] = field(default_factory=dict)
    options: str = ""

    @property
    def languages(self) -> tuple[str, str]:
        return self.source, self.target

    def parts(self, name: str) -> list[tuple[Part, Part]]:
        """Source and target of what makes the set of this name."""
        return [(Part.read(words[0], self.source), Part.read(words[-1], self.target)) for words in self._words(name)]

    def faults(self) -> list[str]:
        """What is wrong with a recipe that somebody has written."""
        given = {**self.files, **self.sets, self.valid: "", self.source: "", self.target: ""}
        faults = [f"recipe: {name!r} is no name of a file" for name in given if not NAME.fullmatch(name)]
        faults += [
            f"recipe.files.{name}={url} is not allowed: it must begin with https:// or http://"
            for name, url in self.files.items()
            if not url.startswith(("https://", "http://"))
        ]
        faults += [
            f"recipe.sha256.{name}={digest} is not allowed: it must be 64 digits of 0 to 9 and a to f, or null"
            for name, digest in self.sha256.items()
            if digest is not None and not SHA256.fullmatch(digest)
        ]
        for name in self.sets:
            faults += [
                f"recipe.sets.{name} needs the file {part.file}, which recipe.files doesn't have"
                for pair in self.parts(name)
                for part in pair
                if part.file not in self.files
            ]
            faults += [
                f"recipe.sets.{name}: a part is one word, or two for source and target, not {' '.join(words)!r}"
                for words in self._words(name)
                if len(words) > 2
            ]
        if "train" not in self.sets:
            faults.append("recipe.sets must have a set called train")
        if self.written == "tokens" and not self.moses:
            faults.append("recipe.written=tokens needs recipe.moses=true")
        return faults

    def _words(self, name: str) -> list[list[str]]:
        return [part.split() or [""] for part in self.sets[name]]


@dataclass(frozen=True)
class Part:
    """A file of a recipe, or a member of an archive."""

    file: str
    member: str  # "" of a file that is no archive

    @classmethod
    def read(cls, text: str, language: str) -> Part:
        """`de-en.tgz:de-en/train.{language}` of one side."""
        file, _, member = text.replace("{language}", language).partition(":")
        return cls(file, member)


@dataclass(frozen=True)
class PrepareConfig:
    """The options of prepare_data.py."""

    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    folder: str | None = None
    local: str | None = None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> PrepareConfig:
        return checked(cls, plain, _unprepared)

    @property
    def place(self) -> Path:
        """Where all of it goes."""
        return Path("data", self.recipe.name) if self.folder is None else Path(self.folder)


@dataclass(frozen=True)
class CheckedData:
    """The texts to check, named as in train.py."""

    source: str = "de"
    target: str = "en"
    train: str | list[str] | None = None
    valid: str | None = None
    test: str | dict[str, str] | None = None

    def prefixes(self) -> dict[str, list[str]]:
        """Of each text, the small ones first."""
        data = DataConfig(train=self.train, test=self.test)
        texts = {name: [prefix] for name, prefix in data.tests().items()}
        if self.valid is not None:
            texts["valid"] = [self.valid]
        return {**texts, "train": data.train_prefixes()} if self.train else texts


@dataclass(frozen=True)
class CheckConfig:
    """The options of prepare_data.py check."""

    source: str | None = None
    target: str | None = None
    data: CheckedData = field(default_factory=CheckedData)
    tokenizer: str | None = None
    examples: int = number(5, 0, 1000)
    ratio: float = number(3.0, 1.01, 1000.0)
    output: str | None = None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> CheckConfig:
        return checked(cls, plain, _unchecked)


def _unprepared(config: PrepareConfig) -> list[str]:
    if not config.recipe.name:
        return ["which corpus? set recipe=NAME; prepare_data.py --help lists them"]
    return config.recipe.faults()


def _unchecked(config: CheckConfig) -> list[str]:
    given, texts = (config.source, config.target), config.data.prefixes()
    if not any(given) and not texts:
        return ["what to check? set source=FILE target=FILE, or data.train=PREFIX, data.valid=PREFIX, data.test=PREFIX"]
    if any(given) and texts:
        return ["source and target, or data.train and the like: set one or the other"]
    if any(given) and not all(given):
        missing = "target" if config.target is None else "source"
        return [f"the other side is missing: set {missing}=FILE"]
    names = [*config.data.test, "train", "valid"] if isinstance(config.data.test, dict) else []
    return [f"data.test has a set called {name}; give it another name" for name in {*names} if names.count(name) > 1]
